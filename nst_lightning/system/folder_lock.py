"""A folder that one process at a time writes into."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nst_lightning.errors import InputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

# How long to wait for a process that is about to end.
LOCK_SECONDS = 3.0

POLL_LOCK_SECONDS = 0.05


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes that call this function for the same folder from writing into it in a ``with`` block.

    The system ends the lock with the process, however that ends, and it leaves no file. Where folders cannot be locked,
    such as on Windows and on some network drives, nothing is checked.

    Args:
        folder: the folder, which is created if necessary.

    Raises:
        InputError: another process has locked the folder.
        OSError: the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            _wait_for_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            if time.monotonic() > deadline:
                raise InputError(
                    f"Expected to write into {folder}, but another process paints there: wait until it has ended, or "
                    "choose another folder."
                ) from error
        time.sleep(POLL_LOCK_SECONDS)
