"""Errors of the disk, in words that say what to do."""

import errno
import os

# What an error of the disk means for the user, by its number.
ADVICE = {
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "free some disk space",
    errno.EFBIG: "permit larger files",
    errno.EROFS: "make the folder writable",
    errno.EACCES: "make the folder writable",
    errno.EPERM: "make the folder writable",
}


def find_disk_error(error: BaseException) -> OSError | None:
    """Returns the error of the disk that an exception is, or that has caused it, or None.

    Loggers raise exceptions of their own when their files cannot be written.

    Args:
        error: the exception.
    """
    seen: BaseException | None = error
    while seen is not None:
        # A closed pipe raises a ConnectionError, which is no error of the disk.
        if isinstance(seen, OSError) and not isinstance(seen, ConnectionError):
            return seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def explain_disk_error(error: OSError) -> str:
    """Returns what has happened and what to do, such as ``No space left on device: free some disk space``."""
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    name = "" if error.filename is None else f" at {error.filename}"
    return f"{reason}{name}: {ADVICE.get(error.errno or 0, 'make sure that the folder exists')}"
