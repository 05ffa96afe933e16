"""Ctrl-C: a handler that can be installed and removed."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class InterruptHandler:
    """Handles Ctrl-C while it is installed; in another thread than the main one it does nothing.

    It remembers that Ctrl-C was pressed. Python drops a KeyboardInterrupt that is raised while it cleans up an object,
    so that a caller that only waits for the exception would miss it; the report of the dropped exception is suppressed.

    Args:
        on_first_press: called at the first Ctrl-C instead of raising KeyboardInterrupt. Every further one, and each one
            without this function, raises it.
    """

    def __init__(self, on_first_press: Callable[[], None] | None = None) -> None:
        self.is_pressed = False
        self._on_first_press = on_first_press
        self._previous: Any = None

    def install(self) -> None:
        """Replaces the current handler of Ctrl-C."""
        # Python permits handlers of signals only in the main thread.
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._report_unraisable

    def remove(self) -> None:
        """Restores the previous handler."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            sys.unraisablehook = self._previous_hook
            self._previous = None

    def __enter__(self) -> "InterruptHandler":
        """Installs the handler."""
        self.install()
        return self

    def __exit__(self, *error: object) -> None:
        """Removes the handler."""
        self.remove()

    def _report_unraisable(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._previous_hook(unraisable)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first, self.is_pressed = not self.is_pressed, True
        if is_first and self._on_first_press is not None:
            self._on_first_press()
        else:
            signal.default_int_handler(number, frame)
