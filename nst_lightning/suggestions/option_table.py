"""The options of all commands, as their help shows them, with the values that are worth suggesting."""

import contextlib
import io
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from nst_lightning.cli.configs import PACKAGED_CONFIGS, list_packaged_configs
from nst_lightning.commands import COMMANDS, load_command
from nst_lightning.errors import InputError
from nst_lightning.samples.gallery import CLIPS, CONTENTS, MASKS, STYLES
from nst_lightning.suggestions.class_schemas import Schema
from nst_lightning.suggestions.fit_schema import describe_fit

SHELLS = ("bash", "zsh", "fish")

_CONTENT_VALUES = tuple(f"sample:{name}" for name in CONTENTS + CLIPS)
_STYLE_VALUES = tuple(f"sample:{name}" for name in STYLES)
_MASK_VALUES = tuple(f"sample:{name}" for name in MASKS)

# Suggested values of options whose help lists no choices, by name.
_VALUES: dict[str, tuple[str, ...]] = {
    "--data.content": _CONTENT_VALUES,
    "--data.style": _STYLE_VALUES,
    "--data.hold": _MASK_VALUES,
    "--data.style_strength": _MASK_VALUES,
    "--data.flow": ("dis", "raft", "none"),
    "--model.backbone": ("SlimVGG19", "VGG16", "VGG19"),
    "--model.optimizer": ("CompactLBFGS", "torch.optim.Adam", "torch.optim.LBFGS"),
    "--model.initialization": ("content", "style", "noise", "gaussian"),
    "--source": tuple(f"sample:{name}" for name in CLIPS),
    "--ckpt_path": ("last",),
    "--threads": ("auto",),
    "--trainer.accelerator": ("auto", "cpu", "gpu", "mps"),
}


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: with its hyphens.
        takes_value: whether a value follows.
        values: values to suggest; a file if there are none.
        text: the beginning of its help.
    """

    name: str
    takes_value: bool = True
    values: tuple[str, ...] = ()
    text: str = ""


def list_options() -> dict[str, list[Option]]:
    """Returns the options of each command."""
    table = {}
    for name in COMMANDS:
        try:
            options = list(parse_help(read_help(name)))
        except (InputError, ImportError):  # a command whose optional packages are not installed
            options = []
        table[name] = options
    nested = [option for option in list_nested_options() if option.name not in {known.name for known in table["fit"]}]
    table["fit"] += nested
    return table


def read_help(name: str) -> str:
    """Returns the help of a command, with each text in one line.

    Args:
        name: one of `COMMANDS`.
    """
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            load_command(name)(["--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return output.getvalue()


def parse_help(text: str) -> Iterator[Option]:
    """Reads options from a help text of argparse whose lines are not wrapped.

    Args:
        text: the help.
    """
    pattern = (
        r"^  (?:-\w(?: \w+)?, )?(--[\w.]+)(?: (\{[^}]*\}|\[?=?[\w.]+\]?))?(?:,? [^\n]*?)??(?:  +|\n {10,}|\n)(\S.*)?$"
    )
    for name, value, sentence in re.findall(pattern, text, re.MULTILINE):
        if name.endswith(".help") or "NAME" in name:
            continue
        choices = tuple(value.strip("{}").split(",")) if value.startswith("{") else _suggest(name)
        takes_value = bool(value) and not value.startswith("[=")
        yield Option(name, takes_value, choices if takes_value else (), _shorten(sentence))


def list_nested_options() -> Iterator[Option]:
    """Lists options of `fit` below a class: arguments of networks, optimizers, loggers, and terms of the recipes."""
    definitions = describe_fit()["$defs"]
    for name, key in (("model.backbone", "Backbone"), ("model.optimizer", "Optimizer"), ("trainer.logger", "Logger")):
        kinds = list(_read_classes(definitions[key]).values())
        yield from _create_options(f"--{name}", {key: value for kind in kinds for key, value in kind.items()})
    terms: dict[str, Schema] = {}
    losses = _read_classes(definitions["Loss"])
    for recipe in list_packaged_configs():
        config = yaml.safe_load((PACKAGED_CONFIGS / f"{recipe}.yaml").read_text())
        for term, value in config.get("model", {}).get("losses", {}).items():
            terms[term] = terms.get(term, {}) | losses[value["class_path"].rpartition(".")[2]]
    for term, arguments in terms.items():
        yield from _create_options(f"--model.losses.{term}", arguments)


def _read_classes(definition: Schema) -> dict[str, Schema]:
    """Returns the arguments of each class by its short name."""
    objects = [option["properties"] for option in definition["anyOf"] if "properties" in option]
    return {
        properties["class_path"]["enum"][0]: properties["init_args"]["properties"]
        for properties in objects
        if "enum" in properties["class_path"]
    }


def _create_options(prefix: str, arguments: Mapping[str, Any]) -> Iterator[Option]:
    for name, schema in arguments.items():
        choices = [value for part in (schema, *schema.get("anyOf", ())) for value in part.get("enum", ())]
        if schema.get("type") == "boolean":
            choices = ["true", "false"]
        values = tuple(str(value) for value in choices if value is not None)
        yield Option(f"{prefix}.{name}", values=values, text=_shorten(schema.get("description", "")))


def _suggest(name: str) -> tuple[str, ...]:
    if name in ("--config", "--recipe"):
        return tuple(list_packaged_configs())
    return _VALUES.get(name, ())


def _shorten(text: str) -> str:
    """Returns the beginning of a help text in at most 70 characters, without marks of quotation."""
    first = re.split(r"[;:.] | \(", f"{text} ")[0]
    return textwrap.shorten(re.sub("[`'\"]", "", first), 70, placeholder=" ...")
