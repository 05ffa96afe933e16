"""Locates study files and configuration files of `fit`."""

from collections.abc import Iterable
from pathlib import Path

from nst_lightning.errors import InputError


def locate_config(name: str, folders: Iterable[Path] = (Path(),)) -> Path:
    """Locates a file in one of several folders; a bare name that none of them has is a packaged configuration.

    Args:
        name: absolute path, path relative to a folder, or bare name such as ``transfer``.
        folders: the folders in the order of their precedence.

    Raises:
        InputError: there is no such file.
    """
    candidates = [folder / name for folder in folders]
    for path in candidates:
        if path.is_file():
            return path
    if len(Path(name).parts) == 1 and not Path(name).suffix:
        from nst_lightning.cli.configs import find_config

        return find_config(name)
    raise InputError(f"Expected a configuration file at {' or '.join(map(str, candidates))}, but there is none.")
