"""Lightning's manners, where they are not those of a tool for the shell."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silences what Lightning says to those who train networks; what a painter wants to know we say ourselves.

    Ctrl-C is raised as ever.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), _interruptible():
        # A short run has a few curve points less; that is no reason to warn.
        warnings.filterwarnings("ignore", message="The number of training batches .* smaller than the logging interval")
        # Lightning 2.6 asks torch in a way that torch 2.10 and later deprecate.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        # A resumed run goes on in its own folder.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raises Ctrl-C where Lightning, after its own end, would exit with status 1 and ignore a further one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
