"""The collection of sample pictures: their names, their files, and how to draw them anew."""

import importlib
import os
import shutil
from pathlib import Path

from PIL import Image

from nst_lightning.errors import InputError

CONTENTS: tuple[str, ...] = ("harbour", "landscape", "still_life", "cat")
STYLES: tuple[str, ...] = ("swirl", "waves", "glass", "mosaic", "ink", "geometric")
SAMPLES: tuple[str, ...] = CONTENTS + STYLES
CLIPS: tuple[str, ...] = ("clip",)
"""Films; see :mod:`nst_lightning.samples.drawing.clip`."""

FILES = Path(__file__).parent / "files"


def _check(name: str) -> None:
    if name not in SAMPLES:
        raise InputError(f"Expected a sample among {', '.join(SAMPLES)}, but got {name!r}.")


def render(name: str) -> Image.Image:
    """Draw a sample anew; the same name always gives the same picture.

    Args:
        name: One of `SAMPLES`.

    Returns:
        The picture.

    Raises:
        InputError: There is no such sample.
    """
    _check(name)
    # Each picture has its own module, loaded only when it is drawn, so that listing the samples stays quick.
    module = importlib.import_module(f"nst_lightning.samples.{name}")
    picture: Image.Image = getattr(module, name)()
    return picture


def sample_path(name: str) -> Path:
    """Return the file of a sample that comes with the package.

    Args:
        name: One of `SAMPLES` or `CLIPS`.

    Returns:
        The path of the file.

    Raises:
        InputError: There is no such sample.
    """
    if name in CLIPS:
        return FILES / f"{name}.mp4"
    _check(name)
    return FILES / f"{name}.webp"


def locate(source: str | Path) -> Path:
    """Return the file that is meant by a path or by `sample:NAME`.

    Args:
        source: What was given where a picture is wanted.

    Returns:
        The path, whether or not there is such a file.

    Raises:
        InputError: There is no such sample.
    """
    prefix, found, name = str(source).partition("sample:")
    return sample_path(name) if found and not prefix else Path(source)


def _open(name: str) -> Image.Image:
    with Image.open(sample_path(name)) as image:
        return image.convert("RGB")


def save_whole(image: Image.Image, path: Path, quality: int = 100) -> None:
    """Save a picture so that its file is never seen half written.

    Args:
        image: The picture.
        path: Where to save it; its suffix tells the format.
        quality: How faithful a lossy format is, up to 100.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        image.save(partial, quality=quality, method=6)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_sample(name: str, directory: Path, anew: bool = False) -> Path:
    """Write a sample as PNG.

    Args:
        name: One of `SAMPLES`.
        directory: An existing folder.
        anew: Whether to draw it anew instead of copying the one that comes with the package.

    Returns:
        The path of the written file.

    Raises:
        InputError: There is no such sample.
    """
    image = render(name) if anew else _open(name)
    path = directory / f"{name}.png"
    save_whole(image, path)
    return path


def write_clip(name: str, directory: Path) -> Path:
    """Copy a clip.

    Args:
        name: One of `CLIPS`.
        directory: An existing folder.

    Returns:
        The path of the written file.
    """
    path = directory / sample_path(name).name
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        shutil.copyfile(sample_path(name), partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_samples(directory: Path) -> list[Path]:
    """Write all samples as PNG, making the folder if it is missing.

    Args:
        directory: Where to write them.

    Returns:
        The paths of the written files, contents first, clips last.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [write_sample(name, directory) for name in SAMPLES] + [write_clip(name, directory) for name in CLIPS]
