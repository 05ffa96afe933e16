"""The `schema` command."""

import json
from pathlib import Path
from typing import Literal

from nst_lightning.cli.parser import Parser
from nst_lightning.images.atomic import check_output_path, write_bytes
from nst_lightning.suggestions.fit_schema import describe_fit
from nst_lightning.suggestions.study_schema import describe_study

SCHEMA_DESCRIPTION = """Writes a JSON Schema, with which editors complete the keys and values of a YAML file and mark
mistakes. It knows the classes of the installed versions."""


def main(args: list[str]) -> int:
    """Writes the schema and returns the exit status.

    Args:
        args: command line after `schema`.
    """
    parser = Parser(prog="python -m nst_lightning schema", description=SCHEMA_DESCRIPTION)
    parser.add_argument(
        "--command", type=Literal["fit", "study"], default="fit", help="command that reads the YAML file"
    )
    parser.add_argument("--output", type=str | None, help="file to write; by default the schema is printed")
    options = parser.parse_args(args)
    output = None if options.output is None else check_output_path(Path(options.output))
    schema = describe_study() if options.command == "study" else describe_fit()
    text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    if output is None:
        print(text, end="")
    else:
        write_bytes(output, text.encode())
    return 0
