"""Reading the declaration of a study."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from nst_lightning.errors import InputError, UsageError
from nst_lightning.study.spec.declaration import Section, Study, flatten_options

_OPTIONS = ("data", "model", "trainer")


def read_study(files: Sequence[str]) -> Study:
    """The study that files declare, each on top of the one before.

    Raises:
        InputError: a file that cannot be read.
        UsageError: a key that a study does not have, or a value that it cannot have.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged |= _merged(merged, _read(Path(file)))
    _check_keys(merged, Study, "a study")
    sections = merged.pop("sections", None) or []
    if not isinstance(sections, list):
        raise UsageError(f"Expected `sections` to be a list, but got {sections!r}.")
    return Study(**merged, sections=[_section(section) for section in sections])


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"Expected a study file, but there is none at {file}.")
    try:
        declared = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"Expected {file} to be YAML: {error}") from error
    if not isinstance(declared, dict):
        raise UsageError(f"Expected {file} to declare a study, but got {type(declared).__name__}.")
    return declared


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What a later file says, with the options of `fit` that an earlier one gave besides."""
    options = {name: after[name] for name in _OPTIONS if isinstance(after.get(name), dict)}
    return after | {
        name: flatten_options(before.get(name) or {}) | flatten_options(given) for name, given in options.items()
    }


def _section(declared: Any) -> Section:
    if not isinstance(declared, dict):
        raise UsageError(f"Expected each of `sections` to have a title and more, but got {declared!r}.")
    for needed in ("title", "config"):
        if needed not in declared:
            name = declared.get("title", "a section without title")
            raise UsageError(f"Expected a `{needed}` in each of `sections`, but {name!r} has none.")
    _check_keys(declared, Section, f"the section {declared['title']!r}")
    return Section(**declared)


def _check_keys(found: Iterable[str], declared: type[Section] | type[Study], what: str) -> None:
    known = [item.name for item in fields(declared)]
    for name in found:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
            raise UsageError(f"Expected keys of {what} among {', '.join(known)}, but got {name!r}: {nearest!r}?")
