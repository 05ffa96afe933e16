"""Turns jsonargparse's JSON Schema into one for recipes: short class names, no required keys, classes of others."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from nst_lightning import losses
from nst_lightning.cli.parser import Parser

# A JSON Schema, or a part of one.
Schema = dict[str, Any]

# What jsonargparse adds to each object, and what the package gives an optimizer itself.
_DROPPED_PROPERTIES = ("$schema", "dict_kwargs", "params")

# Classes that YAML can name. Others, such as tensors and pictures, are values in Python only.
_NAMED_TYPES = ("Flow", "Section")

# Keys such as `plan.size` stand for nested ones.
_DOTTED_KEYS: Schema = {r"\.": {}}


def class_schema(kind: type) -> Schema:
    """Returns the schema of the arguments of a class.

    Args:
        kind: the class.
    """
    parser = Parser()
    parser.add_class_arguments(kind, fail_untyped=False)
    schema = simplify(read_parser_schema(parser))
    summary = inspect.getdoc(kind) or ""
    kept = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
    return {**kept, "description": summary.partition("\n")[0]}


def read_parser_schema(parser: ArgumentParser) -> Schema:
    """Returns the JSON Schema that jsonargparse writes for a parser.

    Args:
        parser: the parser of a configuration.
    """
    schema: Schema = json.loads(parser.get_completion_script("jsonschema"))
    return schema


def simplify(node: Any) -> Any:
    """Drops required keys, because a file may override parts of another one, and accepts dotted keys.

    Args:
        node: a schema of jsonargparse, or a part of one.
    """
    if isinstance(node, list):
        return [simplify(item) for item in node if not _is_python_type(item)]
    if not isinstance(node, dict):
        return node
    if _is_python_type(node):
        return {}
    schema = {key: simplify(value) for key, value in node.items() if key != "required"}
    if "properties" in schema:
        for name in _DROPPED_PROPERTIES:
            schema["properties"].pop(name, None)
        if "class_path" not in schema["properties"]:
            schema["patternProperties"] = _DOTTED_KEYS
    if isinstance(schema.get("description"), str):
        schema["description"] = " ".join(schema["description"].split())
    if schema.get("default") is None:
        schema.pop("default", None)
    return schema


def choose_class(arguments: Mapping[str, Schema], others: str) -> Schema:
    """Returns the schema of a value that names a class.

    Args:
        arguments: by the full name of a class, the schema of its object in YAML or of its arguments.
        others: regular expression of the names of further classes and functions, whose arguments are not known.

    Returns:
        A schema that accepts a name, or a mapping with `class_path` and `init_args`.
    """
    names = {path: list_names(path) for path in arguments}
    known = [name for group in names.values() for name in group]
    options = [_mapping({"enum": names[path]}, schema) for path, schema in arguments.items()]
    foreign = {"type": "string", "pattern": others, "not": {"enum": known}}
    return {"anyOf": [*options, _mapping(foreign, {"type": "object"}), {"enum": known}, foreign]}


def list_names(path: str) -> list[str]:
    """Returns the names of a class that a recipe may use, the shortest first.

    Args:
        path: full name, such as `nst_lightning.GramLoss`.
    """
    short = path.rpartition(".")[2]
    if short in losses.__all__:
        return [short, path, f"nst_lightning.losses.{short}"]
    return [short, path]


def one_or_several(schema: Schema) -> Schema:
    """Returns the schema of a value or a list of values, or null.

    Args:
        schema: of one value.
    """
    return {"anyOf": [schema, {"type": "array", "items": schema}, {"type": "null"}]}


def accept_also(schema: Schema, examples: Sequence[str]) -> Schema:
    """Returns a schema with values that an editor suggests; others are as valid as before.

    Args:
        schema: of a value.
        examples: suggested values.
    """
    return {**schema, "examples": list(examples)}


def _is_python_type(node: Any) -> bool:
    reference = node.get("$ref") if isinstance(node, dict) else None
    return reference is not None and reference.rpartition("/")[2] not in _NAMED_TYPES


def _mapping(class_path: Schema, init_args: Schema) -> Schema:
    arguments = {key: value for key, value in init_args.items() if key != "description"}
    text = {"description": init_args["description"]} if init_args.get("description") else {}
    properties = {"class_path": class_path, "init_args": arguments}
    return {"type": "object", **text, "additionalProperties": False, "properties": properties}
