"""The study of two folders: every content in every style."""

import glob
from pathlib import Path

from PIL import Image

from nst_lightning.cli.configs import packaged_config
from nst_lightning.errors import InputError
from nst_lightning.study.spec.declaration import Section, Study

# Name of a packaged configuration.
DEFAULT_RECIPE = "transfer"


def create_folder_study(
    study: Study, contents: str | None, styles: str | None, recipe: list[str] | str | None = None
) -> Study:
    """Creates the study of all pairs of a content and a style, as a figure with a row for each content.

    Args:
        study: title, text and options of `fit` of the new study.
        contents: folder or glob of the contents.
        styles: folder or glob of the styles.
        recipe: configuration files of `fit`. Default: the packaged `transfer`.

    Raises:
        InputError: a folder is missing or has no pictures.
    """
    if contents is None or styles is None:
        missing = "--styles" if styles is None else "--contents"
        raise InputError(f"Expected --contents and --styles, but {missing} is missing: add it.")
    axes = {"data.content": find_pictures(contents), "data.style": find_pictures(styles)}
    section = Section("Every content in every style", recipe or str(packaged_config(DEFAULT_RECIPE)), axes=dict(axes))
    return Study(study.title, study.text, [section], study.data, study.model, study.trainer, study.seed_everything)


def find_pictures(place: str) -> list[str]:
    """Finds the picture files of a folder or of a glob, sorted by name; returns the name of a sample as it is.

    Raises:
        InputError: there are none.
    """
    if place.startswith("sample:"):
        return [place]
    pattern = Path(place) / "*" if Path(place).is_dir() else Path(place)
    suffixes = set(Image.registered_extensions())
    pictures = sorted(path for path in glob.glob(str(pattern)) if Path(path).suffix.lower() in suffixes)
    if not pictures:
        raise InputError(f"Expected pictures in {place}, but there are none.")
    return pictures
