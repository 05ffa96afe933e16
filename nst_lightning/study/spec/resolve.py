"""Resolves options to the configuration of a run, with the parser of `fit`."""

import copy
import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nst_lightning.cli.old_names import current_name
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.data.style_source import parse_styles
from nst_lightning.errors import UsageError
from nst_lightning.training.console import quiet_lightning

# A configuration of `fit` with all options, as plain values.
Configuration = dict[str, Any]


class ConfigurationResolver:
    """Resolves configurations by the parser of `fit`."""

    def __init__(self) -> None:
        self._cache: dict[str, Configuration] = {}

    def resolve(self, configs: Sequence[Path], options: Mapping[str, Any]) -> Configuration:
        """Returns the configuration that `fit` would use.

        Args:
            configs: configuration files; later ones override earlier ones.
            options: options by dotted name; they override the files.

        Raises:
            UsageError: an option is unknown or cannot have its value.
            InputError: a file cannot be used.
        """
        key = json.dumps([[str(path) for path in configs], options], sort_keys=True)
        # Cells of a figure often share a configuration, and parsing takes long.
        if key not in self._cache:
            self._cache[key] = self._parse(configs, options)
        return copy.deepcopy(self._cache[key])

    def _parse(self, configs: Sequence[Path], options: Mapping[str, Any]) -> Configuration:
        args = [f"--config={path}" for path in configs]
        for name, value in options.items():
            args.append(f"--{name}={value if isinstance(value, str) else json.dumps(value)}")
        with quiet_lightning():
            cli = TransferCLI(args)
        parse_styles(cli.config.data.style)
        configuration: Configuration = yaml.safe_load(cli.parser.dump(cli.config, skip_unset=False))
        return configuration


def check_axis(option: str, configuration: Configuration) -> None:
    """Checks that a configuration has an option.

    Args:
        option: dotted name; ``init_args`` may be left out.
        configuration: configuration of `fit` with all options.

    Raises:
        UsageError: the option is unknown; the message names the nearest known option.
    """
    known: set[str] = set()
    for name in _option_names(configuration, ""):
        known |= {name, name.replace(".init_args", "")}
    if option not in known and current_name(option) not in known:
        nearest = difflib.get_close_matches(option, sorted(known), n=1, cutoff=0.0)
        raise UsageError(
            f"Expected each axis to be an option of its configuration, but there is no {option!r}: "
            f"the nearest is {nearest[0]!r}."
        )


def _option_names(value: Any, prefix: str) -> list[str]:
    """Returns the dotted names of a value and of everything below it."""
    children = value.items() if isinstance(value, dict) else ()
    below = [name for key, child in children for name in _option_names(child, f"{prefix}.{key}" if prefix else key)]
    return [prefix, *below] if prefix else below
