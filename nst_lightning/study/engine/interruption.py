"""Ctrl-C between two runs."""

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """Remembers Ctrl-C while it is entered, and raises it as ever.

    Where it comes while Python cleans up after a run, the interpreter reports the exception and drops it: the others
    would go on as if nothing had been pressed.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interruption":
        """Takes Ctrl-C over, where this is the main thread and it is Python's own handler that has it."""
        self._mine = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._mine:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.default_int_handler(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Gives Ctrl-C back."""
        if self._mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
