"""Reads the declaration of a study from YAML files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nst_lightning.cli.configs import check_aliases
from nst_lightning.errors import InputError, UsageError
from nst_lightning.study.spec.declaration import Section, Study, flatten_options
from nst_lightning.study.spec.field_types import check_keys


def read_study(files: Sequence[str | Path]) -> Study:
    """Reads a study from files; later files override earlier ones.

    Options of `fit` (``data``, ``model``, ``trainer``) are merged, all other keys are replaced.

    Raises:
        InputError: a file cannot be read.
        UsageError: a key is unknown or a value has another type.
    """
    merged: dict[str, Any] = {}
    for file in files:
        declared = _read_mapping(Path(file))
        for name in ("data", "model", "trainer"):
            options = declared.get(name)
            if options is not None and not isinstance(options, dict):
                raise UsageError(f"Expected `{name}` of {file} to be options, but got {options!r}.")
            if options is not None:
                declared[name] = flatten_options(merged.get(name) or {}) | flatten_options(options)
        merged |= declared
    check_keys(merged, Study, "a study")
    sections = merged.pop("sections", None) or []
    if not isinstance(sections, list):
        raise UsageError(f"Expected `sections` to be a list, but got {sections!r}.")
    return Study(**merged, sections=[_create_section(section) for section in sections])


def _read_mapping(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"Expected a study file at {file}, but there is none.")
    try:
        text = file.read_text()
        check_aliases(text, str(file))
        declared = yaml.safe_load(text)
    except UsageError:
        raise
    # A ValueError is that of an impossible date, a number of thousands of digits, or bytes that are no text.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected {file} to be YAML: {error}") from error
    if not isinstance(declared, dict):
        raise UsageError(f"Expected {file} to declare a study, but got {type(declared).__name__}.")
    return declared


def _create_section(declared: Any) -> Section:
    if not isinstance(declared, dict):
        raise UsageError(f"Expected each of `sections` to be a mapping with a `title`, but got {declared!r}.")
    title = declared.get("title")
    check_keys(declared, Section, "a section without title" if title is None else f"the section {title!r}")
    return Section(**declared)
