"""Processes that end with the process that started them."""

import os
import threading

# Name of the environment variable with the descriptor of a pipe that only the parent process has open for writing.
PARENT_PIPE = "NST_LIGHTNING_PARENT_PIPE"


def follow_parent() -> None:
    """Ends this process as soon as the process that started it has ended, if that one asked for it."""
    descriptor = os.environ.pop(PARENT_PIPE, None)
    if descriptor is not None:
        threading.Thread(target=_wait_for_parent, args=(int(descriptor),), daemon=True).start()


def _wait_for_parent(descriptor: int) -> None:
    # Nobody writes into the pipe; it ends when its only writer ends, however that happens.
    os.read(descriptor, 1)
    os._exit(1)
