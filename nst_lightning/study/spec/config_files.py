"""Locates study files and configuration files of `fit`."""

from collections.abc import Iterable
from pathlib import Path

from nst_lightning.cli.configs import find_config


def locate_config(name: str, folders: Iterable[Path] = (Path(),)) -> Path:
    """Locates a file in one of several folders, or a configuration by its name; see :func:`find_config`.

    Args:
        name: absolute path, path relative to a folder, or name such as ``transfer``.
        folders: the folders in the order of their precedence.

    Raises:
        InputError: there is no such file; the message lists the names.
    """
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    return find_config(name)
