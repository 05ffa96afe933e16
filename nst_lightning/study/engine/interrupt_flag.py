"""Remembers Ctrl-C between two runs."""

import signal
import threading
from types import FrameType, TracebackType


class InterruptFlag:
    """Context manager that remembers whether Ctrl-C was pressed; the KeyboardInterrupt is raised as usual.

    Python reports and drops a KeyboardInterrupt that is raised while it cleans up an object, as it does after a run.
    Without the flag, the next run would start.
    """

    def __init__(self) -> None:
        self.is_pressed = False

    def __enter__(self) -> "InterruptFlag":
        """Installs a handler, if this is the main thread and Python's own handler is in place."""
        self._is_installed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._is_installed:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.is_pressed = True
        signal.default_int_handler(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restores Python's handler."""
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
