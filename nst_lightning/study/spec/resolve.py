"""From options to the configuration of a run, by the parser of `fit` itself."""

import copy
import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nst_lightning.cli.lightning_cli import TransferCLI
from nst_lightning.errors import InputError, UsageError
from nst_lightning.samples import locate
from nst_lightning.study.spec.declaration import flatten_options
from nst_lightning.training.console import quiet_lightning

Configuration = dict[str, Any]
"""A configuration of `fit` with every value in it, as YAML would have it."""

# What has no part in the result: where files go, what is shown on the way.
_ASIDE = ("ckpt_path", "output", "previews", "checkpoints")
_TRAINER_ASIDE = ("logger", "default_root_dir", "log_every_n_steps", "enable_progress_bar", "profiler")


class Resolver(TransferCLI):
    """`fit` without the painting: parses only."""

    def __init__(self) -> None:
        self._ready = False
        self._known: dict[str, Configuration] = {}

    def resolve(self, configs: Sequence[Path], options: Mapping[str, Any]) -> Configuration:
        """The configuration that `fit` would paint by.

        Args:
            configs: files, each on top of the one before.
            options: by dotted words, on top of the files.

        Raises:
            UsageError: there is no such option, or it cannot have that value.
            InputError: a file that cannot be used.
        """
        asked = json.dumps([[str(path) for path in configs], options], sort_keys=True)
        if asked not in self._known:
            self._known[asked] = self._parsed(configs, options)
        return copy.deepcopy(self._known[asked])

    def _parsed(self, configs: Sequence[Path], options: Mapping[str, Any]) -> Configuration:
        args = ["fit", *(f"--config={path}" for path in configs)]
        args += [f"--{name}={_written(value)}" for name, value in options.items()]
        with quiet_lightning():
            if self._ready:
                self.parse_arguments(self.parser, args)
            else:
                super().__init__(args, start=False)
                self._ready = True
            dumped = self._parser("fit").dump(self.config.fit, skip_unset=False)
        configuration: Configuration = yaml.safe_load(dumped)
        return configuration

    def instantiate_classes(self) -> None:
        """Makes nothing."""


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def check_axis(option: str, configuration: Configuration) -> None:
    """Checks that a configuration has an option.

    Raises:
        UsageError: it has not; the message names the nearest one that it has.
    """
    known = known_options(configuration)
    if option in known:
        return
    nearest = difflib.get_close_matches(option, sorted(known), n=1, cutoff=0.0)
    raise UsageError(
        f"Expected an axis to be an option of its configuration, but there is no {option!r}: "
        f"the nearest is {nearest[0]!r}."
    )


def known_options(configuration: Configuration) -> set[str]:
    """Every option that a configuration has, in dotted words, with and without ``init_args``."""
    known: set[str] = set()
    for name in _paths(configuration, ""):
        known |= {name, name.replace(".init_args", "")}
    return known


def _paths(value: Any, name: str) -> list[str]:
    inner = value.items() if isinstance(value, dict) else ()
    below = [path for key, leaf in inner for path in _paths(leaf, f"{name}.{key}" if name else str(key))]
    return [name, *below] if name else below


def digest(configuration: Configuration) -> str:
    """What tells a run from every other: a hash of what decides its pictures, input files with their contents."""
    decisive = {name: value for name, value in configuration.items() if name not in _ASIDE}
    decisive["trainer"] = {k: v for k, v in configuration["trainer"].items() if k not in _TRAINER_ASIDE}
    files = {name: _file_digest(name) for name in sorted(input_files(configuration))}
    text = json.dumps([decisive, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def input_files(configuration: Configuration) -> set[str]:
    """Every value below ``data`` and ``model`` that names a file or a sample."""
    values = flatten_options(_plain({group: configuration[group] for group in ("data", "model")}))
    return {value for value in values.values() if isinstance(value, str) and _is_path(value)}


def _plain(value: Any) -> Any:
    """Lists as mappings and classes without their marks, so that all of it can be flattened."""
    if isinstance(value, dict):
        return {("class" if key == "class_path" else key): _plain(v) for key, v in value.items()}
    return {str(n): _plain(item) for n, item in enumerate(value)} if isinstance(value, list) else value


def _is_path(text: str) -> bool:
    if text.startswith("sample:"):
        return True
    return len(text) < 4096 and ("/" in text or "." in text) and Path(text).exists()


def _file_digest(name: str) -> str:
    try:
        path = Path(locate(name))
    except InputError:
        return "missing"
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            total.update(file.name.encode() + b"\0")
            with file.open("rb") as opened:
                total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
