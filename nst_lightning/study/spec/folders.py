"""The study of two folders: every content in every style."""

import glob
from pathlib import Path
from typing import Any

from PIL import Image

from nst_lightning.api import CONTENT_LAYERS, SMOOTH_WEIGHT, STYLE_LAYERS, WHITENING
from nst_lightning.errors import InputError
from nst_lightning.study.spec.declaration import Section, Study

RECIPE: dict[str, Any] = {
    "backbone": {"class_path": "SlimVGG19"},
    "losses": {
        "content": {"class_path": "ContentLoss", "init_args": {"layers": list(CONTENT_LAYERS)}},
        "style": {
            "class_path": "GramLoss",
            "init_args": {"layers": list(STYLE_LAYERS), "weight": 1e3, "whitening": WHITENING},
        },
        "smooth": {"class_path": "TotalVariationLoss", "init_args": {"weight": SMOOTH_WEIGHT}},
    },
}
"""The model of such a study unless a recipe is given: that of ``configs/transfer.yaml``."""


def folder_study(study: Study, contents: str | None, styles: str | None, recipe: list[str] | str | None) -> Study:
    """Every content by every style, as a table with a row for each content.

    Args:
        study: what else was declared.
        contents: folder or glob.
        styles: folder or glob.
        recipe: configuration files of `fit`.

    Raises:
        InputError: there are no pictures.
    """
    if contents is None or styles is None:
        missing = "--styles" if styles is None else "--contents"
        raise InputError(f"Expected --contents and --styles, but got no {missing}.")
    axes = {"data.content": pictures(contents), "data.style": pictures(styles)}
    section = Section("Every content in every style", recipe or [], axes=dict(axes))
    if recipe is None:
        study.model = RECIPE | (study.model or {})
    study.sections = [section]
    return study


def pictures(place: str) -> list[str]:
    """The picture files of a folder, or those that a glob means, by name.

    Raises:
        InputError: there are none.
    """
    if place.startswith("sample:"):
        return [place]
    pattern = Path(place) / "*" if Path(place).is_dir() else Path(place)
    endings = set(Image.registered_extensions())
    found = sorted(path for path in glob.glob(str(pattern)) if Path(path).suffix.lower() in endings)
    if not found:
        raise InputError(f"Expected pictures in {place}, but found none.")
    return found
