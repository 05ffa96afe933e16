"""Other processes."""

import os


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
