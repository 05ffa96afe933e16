"""Short labels for options and their values, as figures show them."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Options whose values are picture files.
PICTURE_OPTIONS = ("data.content", "data.style")

# Words of dotted names that labels leave out, and options with a label of their own.
_OMITTED_WORDS = {"model", "losses", "init_args", "data", "plan", "trainer"}
_SPECIAL_LABELS = {"seed_everything": "seed", "model.initialization": "start"}


def axis_label(option: str) -> str:
    """Labels an option: ``style weight`` for ``model.losses.style.init_args.weight``."""
    if option in _SPECIAL_LABELS:
        return _SPECIAL_LABELS[option]
    return " ".join(word for word in option.split(".") if word not in _OMITTED_WORDS).replace("_", " ") or option


def value_label(value: Any) -> str:
    """Labels a value: ``conv_1-5`` for a list of layers, ``1e6`` for a number, ``harbour`` for a picture file.

    A style with options of its own is ``glass scale 0.5``.
    """
    if isinstance(value, dict) and "file" in value:
        options = [f"{name} {value_label(option)}" for name, option in value.items() if name != "file"]
        return " ".join([value_label(value["file"]), *options])
    if isinstance(value, dict):
        return str(value.get("class_path", value)).rsplit(".", 1)[-1]
    if isinstance(value, list):
        return _range_label(value) or ", ".join(value_label(item) for item in value)
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000):
        return _number_label(value)
    text = str(value)
    return Path(text.removeprefix("sample:")).stem if re.search(r"\.\w+$|^sample:|/", text) else text


def slug(text: str) -> str:
    """Turns text into a part of a file name: lower case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "study"


def _number_label(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    mantissa, exponent = f"{value:e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    if -3 <= int(exponent) <= 3:
        return f"{value:g}"
    return f"{mantissa}e{int(exponent)}"


def _range_label(layers: Sequence[Any]) -> str:
    """Labels consecutive numbered layers of one kind, or returns an empty string for any other list."""
    matches = [re.fullmatch(r"(conv|relu)_(\d+)", str(layer)) for layer in layers]
    numbers = [int(match[2]) for match in matches if match]
    kinds = {match[1] for match in matches if match}
    if len(numbers) != len(layers) or len(kinds) != 1 or len(layers) < 2:
        return ""
    first, last = numbers[0], numbers[-1]
    return f"{kinds.pop()}_{first}-{last}" if numbers == list(range(first, last + 1)) else ""
