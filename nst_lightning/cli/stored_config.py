"""Content and styles from the painted picture that a run starts from, and from the configuration stored in it."""

import json
from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import Namespace
from PIL import Image

from nst_lightning.data.style_source import parse_styles
from nst_lightning.errors import InputError
from nst_lightning.images.io import read_config
from nst_lightning.samples import locate
from nst_lightning.training.initialization import INITIALIZATIONS, check_initialization
from nst_lightning.video.film import is_film

# Value of `data.content` and `data.style` that stands for their value in the picture that the run starts from.
STORED = "stored"

# Value of `data.content` that stands for the picture itself.
START = "start"


def can_resolve(config: Namespace) -> bool:
    """Whether a configuration has a value ``stored`` or ``start``, and a picture that can replace it.

    Without a picture the value stays until the run is built: an axis of a study may name the picture.
    """
    return _has_references(config) and config.model.initialization not in INITIALIZATIONS


def check_resolved(config: Namespace) -> None:
    """Checks that no value ``stored`` or ``start`` is left.

    Raises:
        InputError: the run does not start from a picture.
    """
    if _has_references(config):
        raise InputError(
            "Expected a painted picture to start from, which names its content and its style, but "
            f"`model.initialization` is {config.model.initialization!r}: add --model.initialization FILE."
        )


def add_stored_options(args: Sequence[str], config: Namespace) -> list[str]:
    """Adds the options that a picture stores to those of a command.

    They are defaults: what the files and options of the command state has precedence. Only the values ``stored`` and
    ``start`` themselves are replaced. Without other sizes in the plan, the result is twice as large as the picture, and
    a ladder begins above the picture's size.

    Args:
        args: arguments of `fit`.
        config: configuration that results from them.

    Raises:
        InputError: the picture cannot be read, does not store what is needed, or names files that do not exist.
    """
    picture, given = config.model.initialization, config.data
    check_initialization(picture)
    stored = _read_data_options(picture)
    replaced = {}
    if given.style == STORED:
        replaced["style"] = _check_style(picture, stored.get("style"))
    if given.content in (STORED, START):
        content = stored.get("content") if given.content == STORED else None
        replaced["content"] = picture if content is None else _check_content(picture, content)
    with Image.open(locate(picture)) as opened:
        size = max(opened.size)
    # Options such as weights belong to the styles of the picture.
    defaults = (stored if given.style == STORED else {}) | {"plan": {"size": 2 * size, "smallest": size + 1}}
    return [f"--config={json.dumps({'data': defaults})}", *args, f"--config={json.dumps({'data': replaced})}"]


def _has_references(config: Namespace) -> bool:
    return config.data.content in (STORED, START) or config.data.style == STORED


def _read_data_options(picture: str) -> dict[str, Any]:
    """Reads the options of ``data``, without the plan, from the configuration that a picture stores.

    Options that name a class are left out: a configuration may import any class, a picture none.
    """
    try:
        config = yaml.safe_load(read_config(locate(picture)))
    except yaml.YAMLError:
        config = None  # the description of another program
    data = config.get("data") if isinstance(config, dict) else None
    options = data.items() if isinstance(data, dict) else ()
    return {name: value for name, value in options if name != "plan" and not _names_class(value)}


def _names_class(value: Any) -> bool:
    """Whether a value of an option, or a value in it, names a class to import."""
    if isinstance(value, dict):
        return "class_path" in value or any(map(_names_class, value.values()))
    return isinstance(value, list) and any(map(_names_class, value))


def _check_style(picture: str, style: Any) -> Any:
    """Returns the styles that a picture stores."""
    if style is None:
        raise InputError(
            f"Expected a picture that stores the style it was painted in, but {picture} does not: "
            "add --data.style FILE."
        )
    for source in parse_styles(style):
        _check_exists(picture, "style", str(source.file))
    return style


def _check_content(picture: str, content: str) -> str:
    """Returns the content that a picture stores."""
    _check_exists(picture, "content", content)
    if is_film(locate(content)):
        raise InputError(
            f"Expected a picture that was painted from a still, but {picture} was painted from the film {content}: "
            "add --data.content FILE with the frame."
        )
    return content


def _check_exists(picture: str, name: str, file: str) -> None:
    if not locate(file).exists():
        raise InputError(
            f"Expected the {name} {file}, which {picture} was painted from, but there is no such file: run the command "
            f"in the folder of that run, or add --data.{name} FILE."
        )
