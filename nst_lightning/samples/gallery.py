"""Names and files of the sample pictures and clips."""

import io
from pathlib import Path

from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes

CONTENTS: tuple[str, ...] = ("harbour", "landscape", "still_life", "cat")
STYLES: tuple[str, ...] = ("swirl", "waves", "glass", "mosaic", "ink", "geometric")
# Masks of contents: white where the animal is.
MASKS: tuple[str, ...] = ("cat_mask",)
SAMPLES: tuple[str, ...] = CONTENTS + STYLES + MASKS
CLIPS: tuple[str, ...] = ("clip",)

FILES = Path(__file__).parent / "files"


def sample_path(name: str) -> Path:
    """Returns the file of a sample.

    Args:
        name: one of `SAMPLES` or `CLIPS`.

    Raises:
        InputError: there is no such sample.
    """
    if name in CLIPS:
        return FILES / f"{name}.mp4"
    if name in SAMPLES:
        return FILES / f"{name}.webp"
    raise InputError(f"Expected a sample among {', '.join(SAMPLES + CLIPS)}, but got {name!r}.")


def locate(source: str | Path) -> Path:
    """Returns the file that a path or ``sample:NAME`` refers to. The file of a path may not exist.

    Args:
        source: path, or ``sample:`` followed by one of `SAMPLES` or `CLIPS`.

    Raises:
        InputError: there is no such sample.
    """
    before, prefix, name = str(source).partition("sample:")
    return sample_path(name) if prefix and not before else Path(source)


def write_sample(name: str, directory: Path) -> Path:
    """Writes a sample picture as PNG, or copies a clip.

    Args:
        name: one of `SAMPLES` or `CLIPS`.
        directory: an existing folder.

    Returns:
        The path of the written file.

    Raises:
        InputError: there is no such sample.
    """
    source = sample_path(name)
    if name in CLIPS:
        path = directory / source.name
        write_bytes(path, source.read_bytes())
        return path
    encoded = io.BytesIO()
    with Image.open(source) as image:
        image.convert("RGB").save(encoded, "PNG")
    path = directory / f"{name}.png"
    write_bytes(path, encoded.getvalue())
    return path


def write_samples(directory: Path) -> list[Path]:
    """Writes all samples.

    Args:
        directory: folder to write to. It is created if it does not exist.

    Returns:
        The paths of the written files: contents, styles, clips.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [write_sample(name, directory) for name in SAMPLES + CLIPS]
