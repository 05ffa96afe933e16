"""Files and folders that are written completely or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nst_lightning.errors import InputError
from nst_lightning.system.processes import is_running

# Ends the names of temporary files.
PART_SUFFIX = ".part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Replaces a file by one that is written inside a ``with`` block.

    Yields a temporary path in the same folder. On success, the temporary file is renamed to `path`. On an exception, it
    is removed and `path` stays as it was.

    Args:
        path: file to write; its folder is created if necessary, also one that is removed during a run.
    """
    temporary = _temporary_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Adds files to a folder after all of them are written inside a ``with`` block.

    Yields an empty temporary folder next to `path`. On success, its files are moved to `path`, where they replace files
    of the same names. On an exception, `path` stays as it was.

    Args:
        path: folder to write, which is created if necessary.
    """
    temporary = _temporary_path(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        path.mkdir(exist_ok=True)
        for file in sorted(temporary.iterdir()):
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file completely or not at all; see :func:`atomic_path`.

    Args:
        path: file to write; its folder is created if necessary.
        content: all of the file.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def make_writable_folder(folder: Path) -> None:
    """Creates a folder if necessary, and checks that files can be written into it.

    Args:
        folder: the folder; its parents are created as well.

    Raises:
        InputError: the folder cannot be created or is read-only.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Expected to write into {folder}, but it cannot be made: {error}.") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"Expected to write into {folder}, but that is not permitted.")


def check_output_path(path: Path) -> Path:
    """Checks before a long command that a file can be written after it, and creates its folder.

    Args:
        path: file to write.

    Returns:
        The path.

    Raises:
        InputError: the path is a directory, or the folder cannot be created or is read-only.
    """
    if path.is_dir():
        raise InputError(f"Expected the path of a file to write, but {path} is a directory.")
    make_writable_folder(path.parent)
    return path


def remove_partial_files(folder: Path) -> None:
    """Removes the temporary files and folders below a folder that killed processes have left.

    Args:
        folder: the folder; the caller makes sure that no process of another machine writes into it.
    """
    for path in folder.rglob(f".*{PART_SUFFIX}"):
        pid = path.with_suffix("").suffix.removeprefix(".")
        if pid.isdigit() and not is_running(int(pid)):
            with suppress(OSError):
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)


def _temporary_path(path: Path) -> Path:
    # In the same folder, because a rename is atomic only within a file system. The process id separates two processes
    # that write the same file.
    return path.with_name(f".{path.name}.{os.getpid()}{PART_SUFFIX}")
