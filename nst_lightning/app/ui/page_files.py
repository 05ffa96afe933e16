"""Copies of files that the browser may load, in Gradio's cache. No folder of runs is served."""

import hashlib
from pathlib import Path

from gradio.utils import get_upload_folder
from PIL import Image, ImageOps

from nst_lightning.images.atomic import atomic_path

# Longest edge of a result on the page, in px. The download has all pixels.
RESULT_EDGE = 1600


def share_file(path: Path, name: str | None = None) -> str:
    """Copies a file into the cache.

    Args:
        path: a file of a run.
        name: name of the copy. Default: the name of the file.

    Returns:
        The path of the copy. A file that is unchanged is copied once.
    """
    target = _locate_copy(path, name or path.name)
    if not target.exists():
        with atomic_path(target) as temporary:
            temporary.write_bytes(path.read_bytes())
    return str(target)


def share_picture(path: Path, shape: tuple[int, int] | None = None) -> str:
    """Writes a smaller copy of a picture into the cache.

    Args:
        path: a picture file.
        shape: width and height in px whose proportions the copy has; the picture is cropped. Default: its own.

    Returns:
        The path of the copy.
    """
    ratio = "" if shape is None else f"-{shape[0]}x{shape[1]}"
    target = _locate_copy(path, f"shown{ratio}.webp")
    if not target.exists():
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        if shape is not None:
            picture = ImageOps.fit(picture, shape)
        picture.thumbnail((RESULT_EDGE, RESULT_EDGE))
        with atomic_path(target) as temporary:
            picture.save(temporary, "WEBP", quality=90)
    return str(target)


def _locate_copy(path: Path, name: str) -> Path:
    """Returns a path in the cache that nobody can guess from the name and that changes with the content."""
    status = path.stat()
    text = f"{path.resolve()} {status.st_mtime_ns} {status.st_size} {status.st_ino}"
    folder = Path(get_upload_folder()) / hashlib.sha256(text.encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
