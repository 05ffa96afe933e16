"""What options and their values are called on a page."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PICTURES = ("data.content", "data.style")
"""Options whose values are pictures."""

_SILENT = {"model", "losses", "init_args", "data", "plan", "trainer"}
_KNOWN = {"seed_everything": "seed", "model.initialization": "start"}


def axis_word(option: str) -> str:
    """What an option is called: ``style weight`` for ``model.losses.style.init_args.weight``."""
    if option in _KNOWN:
        return _KNOWN[option]
    return " ".join(word for word in option.split(".") if word not in _SILENT).replace("_", " ") or option


def value_word(value: Any) -> str:
    """What a value is called: ``conv_1-5`` for a list of layers, ``1e6``, ``harbour`` for a file."""
    if isinstance(value, dict):
        return str(value.get("class_path", value)).rsplit(".", 1)[-1]
    if isinstance(value, list):
        return _range(value) or ", ".join(value_word(item) for item in value)
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000):
        return _number(value)
    text = str(value)
    return Path(text.removeprefix("sample:")).stem if re.search(r"\.\w+$|^sample:|/", text) else text


def _number(value: float) -> str:
    mantissa, exponent = f"{value:e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    if -3 <= int(exponent) <= 3:
        return f"{value:g}"
    return f"{mantissa}e{int(exponent)}"


def _range(layers: Sequence[Any]) -> str:
    """``conv_1-5`` where layers of running numbers follow each other."""
    matches = [re.fullmatch(r"(conv|relu)_(\d+)", str(layer)) for layer in layers]
    numbers = [int(match[2]) for match in matches if match]
    kinds = {match[1] for match in matches if match}
    if len(numbers) != len(layers) or len(kinds) != 1 or len(layers) < 2:
        return ""
    first, last = numbers[0], numbers[-1]
    return f"{kinds.pop()}_{first}-{last}" if numbers == list(range(first, last + 1)) else ""


def slug(text: str) -> str:
    """Text as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "study"
