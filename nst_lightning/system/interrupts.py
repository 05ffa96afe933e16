"""Ctrl-C and SIGTERM: a handler that can be installed and removed."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar
from weakref import WeakSet

# Exit statuses of a command that Ctrl-C or SIGTERM has ended: 128 plus the number of the signal, as in shells.
INTERRUPTED_STATUS = 128 + signal.SIGINT
TERMINATED_STATUS = 128 + signal.SIGTERM

# Schedulers and `timeout` send SIGTERM to a process and to its whole group: signals within this time of it are one.
REPEAT_SECONDS = 1.0


class InterruptHandler:
    """Handles Ctrl-C while it is installed; in another thread than the main one it does nothing.

    It remembers that Ctrl-C was pressed. Python drops a KeyboardInterrupt that is raised while it cleans up an object,
    so that a caller that only waits for the exception would miss it; the report of the dropped exception is suppressed.
    Handlers may be nested: the innermost one acts, and all of them remember.

    Args:
        on_first_press: called at the first Ctrl-C instead of raising KeyboardInterrupt. Every further one, and each one
            without this function, raises it.
        owns_process: whether SIGTERM, which schedulers send, acts like Ctrl-C. It does so in handlers inside this one
            too.

    Attributes:
        number: number of the first signal, or None.
        has_raised: whether this handler, or one installed inside it, has raised KeyboardInterrupt.
    """

    # Weak: after an error, Lightning restores the previous handlers and this list is not told.
    _installed: ClassVar["WeakSet[InterruptHandler]"] = WeakSet()

    def __init__(self, on_first_press: Callable[[], None] | None = None, owns_process: bool = False) -> None:
        self.number: int | None = None
        self.has_raised = False
        self.owns_process = owns_process
        self._pressed_at = -math.inf
        self._on_first_press = on_first_press
        self._previous: dict[int, Any] = {}

    @property
    def is_pressed(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.number is not None

    @property
    def is_terminated(self) -> bool:
        """Whether SIGTERM was the first signal."""
        return self.number == signal.SIGTERM

    def install(self) -> None:
        """Replaces the current handler of Ctrl-C, and that of SIGTERM if this program owns the process."""
        # Python permits handlers of signals only in the main thread.
        if threading.current_thread() is threading.main_thread():
            self._installed.add(self)
            owns_process = any(handler.owns_process for handler in self._installed)
            for number in (signal.SIGINT, signal.SIGTERM) if owns_process else (signal.SIGINT,):
                self._previous[number] = signal.signal(number, self._handle)
            self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._report_unraisable

    def remove(self) -> None:
        """Restores the previous handlers."""
        if self._previous:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            sys.unraisablehook = self._previous_hook
            self._previous = {}
            self._installed.discard(self)

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
        now, is_first = time.monotonic(), not self.is_pressed
        if signal.SIGTERM in (number, self.number) and now - self._pressed_at < REPEAT_SECONDS:
            return
        for handler in {*self._installed, self}:
            handler.number, handler._pressed_at = handler.number or number, now
        if is_first and self._on_first_press is not None:
            self._on_first_press()
        else:
            for handler in {*self._installed, self}:
                handler.has_raised = True
            signal.default_int_handler(number, frame)


def announce_stop(handler: InterruptHandler) -> None:
    """Says at Ctrl-C what happens next; nobody waits at a terminal for the end that SIGTERM asks for."""
    if not handler.is_terminated:
        print("\nStopping after this step; Ctrl-C again stops at once.", file=sys.stderr)


def forget_interrupt() -> None:
    """Makes Python exit with the status that the program asks for, after a KeyboardInterrupt that it has handled.

    If the exception has passed through `exec` of a string, such as the one that defines a dataclass, the interpreter
    remembers it as unhandled and ends a program that was started by `python -m` by SIGINT. It forgets it at the next
    `exec`.
    """
    exec("")
