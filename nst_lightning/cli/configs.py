"""Finds configuration files by path or by name."""

from collections.abc import Iterator
from pathlib import Path

from nst_lightning.errors import InputError

# In a wheel the configurations are inside the package, in the repository next to it.
_PACKAGE = Path(__file__).parents[1]
PACKAGED_CONFIGS = next(
    (path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir()), _PACKAGE / "configs"
)


def find_config(name: str) -> Path:
    """Finds a configuration file.

    An existing file has precedence. Any other name is looked up in ``configs/`` of the working folder, then among
    the packaged configurations. ``configs/NAME`` means a packaged one if the working folder has no ``configs/``.

    Args:
        name: path, or name such as ``best``, ``best.yaml`` or ``backbones/vgg19``.

    Raises:
        InputError: there is no such file; the message lists the available names.
    """
    path, local = Path(name), Path("configs")
    # A pipe would be waited for without an end.
    if name and path.is_file():
        return path
    # Commands of the documentation name `configs/best.yaml`; they work from any folder.
    if path.parts[:1] == local.parts and not local.is_dir():
        path = path.relative_to(local)
    if name and not path.is_absolute() and ".." not in path.parts:
        file = path if path.suffix in {".yaml", ".yml", ".json"} else Path(f"{path}.yaml")
        for folder in (local, PACKAGED_CONFIGS):
            if (folder / file).is_file():
                return folder / file
    known = ", ".join(sorted({*_list_names(local), *_list_names(PACKAGED_CONFIGS)}))
    raise InputError(f"Expected a configuration file or one of {known}, but got {name!r}.")


def packaged_config(name: str) -> Path:
    """Returns a configuration file of the package, whatever the working folder contains.

    Args:
        name: such as ``transfer``.
    """
    return PACKAGED_CONFIGS / f"{name}.yaml"


def _list_names(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
