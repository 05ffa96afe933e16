"""The JSON Schema of a study."""

from typing import Any

from nst_lightning.cli.parser import Parser
from nst_lightning.study.spec.declaration import Study
from nst_lightning.suggestions.class_schemas import Schema, read_parser_schema, simplify
from nst_lightning.suggestions.fit_schema import describe_fit

# Options of one label of an axis, by dotted name.
_OPTIONS: Schema = {"type": "object"}


def describe_study() -> Schema:
    """Returns the JSON Schema of a study file."""
    parser = Parser()
    parser.add_class_arguments(Study)
    schema: Schema = simplify(read_parser_schema(parser))
    fit = describe_fit()
    section = schema["$defs"]["Section"]
    schema["$defs"] |= fit["$defs"]
    for owner in (schema, section):
        # Options of a study are nested or dotted, its own keys are neither.
        del owner["patternProperties"]
        for name in ("data", "model", "trainer"):
            schema["$defs"][name] = fit["properties"][name]
            owner["properties"][name] = {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}
    values: dict[str, Any] = {"anyOf": [{"type": "array"}, {"type": "object", "additionalProperties": _OPTIONS}]}
    section["properties"]["axes"] |= {"additionalProperties": values}
    return schema
