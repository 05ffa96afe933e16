"""Finds configuration files by path or by name."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from nst_lightning.errors import InputError, UsageError

# Most values of a configuration, with those of its aliases written out.
MAX_CONFIG_VALUES = 100_000

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


def list_packaged_configs() -> list[str]:
    """Lists the names of the packaged configurations."""
    return sorted(_list_names(PACKAGED_CONFIGS))


def check_aliases(text: str, name: str) -> None:
    """Refuses YAML whose aliases stand for so many values that reading it takes hours ("billion laughs").

    Args:
        text: the YAML. Other mistakes in it are left to its parser.
        name: name of the file in the message.

    Raises:
        UsageError: there are too many values.
    """
    if "&" not in text or "*" not in text:
        return
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    if root is not None and _count_values(root, {}) > MAX_CONFIG_VALUES:
        raise UsageError(f"Expected at most {MAX_CONFIG_VALUES} values in {name}, but its aliases stand for more.")


def _count_values(node: yaml.Node, known: dict[int, int]) -> int:
    """Counts the values below a node as if its aliases were written out; a node inside itself counts as too many."""
    if id(node) not in known:
        known[id(node)] = MAX_CONFIG_VALUES
        children = [] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_count_values(part, known) for part in parts)
    return known[id(node)]


def _list_names(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
