"""Old names of options, which are accepted for one version."""

import re
import warnings
from collections.abc import Sequence
from itertools import pairwise

from nst_lightning.cli.configs import find_config
from nst_lightning.errors import InputError

# Dotted names: the old one and the new one.
RENAMED_OPTIONS = {"model.losses.revealed": "model.losses.disocclusion"}


def replace_old_options(args: Sequence[str]) -> list[str]:
    """Replaces old names of options on a command line and warns about them.

    A term of a loss keeps its name if a configuration file on the command line uses it.

    Args:
        args: the arguments of `fit`.
    """
    # Configurations that were saved before the renaming still contain the old term, and an option must match it.
    text = "".join(_read_config(name) for name in _config_names(args))
    replaced = []
    for arg in args:
        for old, new in RENAMED_OPTIONS.items():
            is_used = re.search(rf"^\s*{old.rpartition('.')[2]}:", text, re.MULTILINE)
            if re.match(rf"--{re.escape(old)}(?=[.=]|$)", arg) and not is_used:
                warnings.warn(f"`{old}` is now called `{new}`; the old name ends with the next version.", stacklevel=2)
                arg = arg.replace(old, new, 1)
        replaced.append(arg)
    return replaced


def current_name(option: str) -> str:
    """Returns the new name of a dotted option."""
    for old, new in RENAMED_OPTIONS.items():
        if option == old or option.startswith(f"{old}."):
            return option.replace(old, new, 1)
    return option


def _read_config(name: str) -> str:
    """Returns the text of a configuration file, or nothing if it cannot be read: the parser reports that."""
    try:
        return find_config(name).read_text()
    except (InputError, OSError, UnicodeDecodeError):
        return ""


def _config_names(args: Sequence[str]) -> list[str]:
    """Returns the values of ``--config`` that are files, not YAML text."""
    names = [arg.partition("=")[2] for arg in args if arg.startswith(("--config=", "-c="))]
    names += [value for option, value in pairwise(args) if option in ("--config", "-c")]
    return [name for name in names if not any(character in name for character in "{:\n")]
