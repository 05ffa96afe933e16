"""Other processes: whether one is running, and the end of the one that started this one."""

import os
import threading

# Name of the environment variable with the descriptor of a pipe that only the parent process has open for writing.
PARENT_PIPE = "NST_LIGHTNING_PARENT_PIPE"


def is_running(pid: int) -> bool:
    """Whether a process with this id exists on this machine; on Windows always True, where asking would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        # A process of another user, or an id that no process can have.
        return pid < 2**31
    return True


def follow_parent() -> None:
    """Ends this process as soon as the process that started it has ended, if that one asked for it."""
    descriptor = os.environ.pop(PARENT_PIPE, None)
    if descriptor is not None:
        threading.Thread(target=_wait_for_parent, args=(int(descriptor),), daemon=True).start()


def _wait_for_parent(descriptor: int) -> None:
    # Nobody writes into the pipe; it ends when its only writer ends, however that happens.
    os.read(descriptor, 1)
    os._exit(1)
