"""Checks the values of a declaration against the annotations of its dataclass.

jsonargparse is not used here. It changes values below ``dict[str, Any]``: the text ``1e6`` becomes a float, and a class
gets all its default arguments, which would change labels and run keys. Its messages neither name the section nor
suggest the nearest key.
"""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nst_lightning.errors import UsageError

_NAMES = {str: "text", int: "a whole number", dict: "options", NoneType: "nothing"}
_PLURALS = {str: "texts", int: "whole numbers"}


def check_keys(declared: Mapping[str, Any], schema: type[Any], owner: str) -> None:
    """Checks that a mapping has the keys of a dataclass.

    Args:
        declared: the mapping as it stands in YAML.
        schema: the dataclass.
        owner: name of the mapping in the message.

    Raises:
        UsageError: a key is unknown or a required key is missing.
    """
    known = {field.name: field for field in fields(schema)}
    for key in declared:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"Expected keys of {owner} among {', '.join(known)}, but got {key!r}: did you mean {nearest!r}?"
            )
    for key, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and key not in declared:
            raise UsageError(f"Expected `{key}` in {owner}, but it is missing: add it.")


def check_types(declared: Any, owner: str) -> None:
    """Checks that the attributes of a dataclass instance have the annotated types.

    Args:
        declared: the instance.
        owner: name of the instance in the message.

    Raises:
        UsageError: a value has another type; of several, the first is reported.
    """
    for name, hint in get_type_hints(type(declared)).items():
        value = getattr(declared, name)
        if not _matches(value, hint):
            raise UsageError(f"Expected `{name}` of {owner} to be {_describe(hint)}, but got {value!r}.")


def _matches(value: Any, hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if kind is UnionType:
        return any(_matches(value, option) for option in get_args(hint))
    if kind is Literal:
        return value in get_args(hint)
    if kind is list:
        return isinstance(value, list) and all(_matches(item, get_args(hint)[0]) for item in value)
    # In Python, True and False are integers; in a study they are a mistake.
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _describe(hint: Any) -> str:
    kind = get_origin(hint) or hint
    if kind is UnionType:
        return " or ".join(_describe(option) for option in get_args(hint))
    if kind is Literal:
        return " or ".join(map(str, get_args(hint)))
    if kind is list:
        return f"a list of {_PLURALS.get(get_args(hint)[0], 'sections')}"
    return _NAMES[kind]
