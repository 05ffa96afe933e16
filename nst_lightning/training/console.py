"""Adapts Lightning's output on the terminal, and its behavior at Ctrl-C, to a command-line tool."""

import logging
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nst_lightning.training.private_api import CHATTER, CHATTY_LOGGERS, WARNINGS, is_exit_after_interrupt


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Drops the messages that Lightning logs at every run; reports on request, such as a profiler's, are shown.

    Ctrl-C raises KeyboardInterrupt, as everywhere else in Python. If the thread that writes the files of TensorBoard
    fails, the main thread raises its error again, which is then not printed twice.
    """
    hook = threading.excepthook
    loggers, drop_chatter = [logging.getLogger(name) for name in CHATTY_LOGGERS], ChatterFilter()
    with warnings.catch_warnings(), _raise_interrupts():
        for text, category in WARNINGS:
            warnings.filterwarnings("ignore", message=text, category=category)
        for logger in loggers:
            logger.addFilter(drop_chatter)
        threading.excepthook = lambda error: None if issubclass(error.exc_type, OSError) else hook(error)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger in loggers:
                logger.removeFilter(drop_chatter)


class ChatterFilter(logging.Filter):
    """Drops the messages that begin like one of ``CHATTER``; warnings and errors pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        message = re.sub(r"^\[rank: \d+\] ", "", record.getMessage().strip())
        return record.levelno >= logging.WARNING or not message.startswith(CHATTER)


@contextmanager
def _raise_interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt where Lightning exits with status 1 after Ctrl-C and ignores a further one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not is_exit_after_interrupt(error):
            raise
        # Only the main thread may set a handler.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
