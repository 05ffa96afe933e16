"""Uploaded pictures and films, under generated ids."""

import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps

from nst_lightning.app.payloads import list_files
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import atomic_path, make_writable_folder, write_bytes
from nst_lightning.images.color_profiles import convert_to_srgb
from nst_lightning.images.io import from_pil, to_pil
from nst_lightning.images.opening import check_pixels, limit_pixels, suspend_pillow_limit
from nst_lightning.samples import CONTENTS, MASKS, STYLES, sample_path
from nst_lightning.video.film import Film, FrameSelection
from nst_lightning.video.picture_readers import is_animation

# Limits of an upload: megabytes of the file, and width times height in px.
DEFAULT_MAX_UPLOAD_MB = 40.0
DEFAULT_UPLOAD_PIXELS = 50e6

# All uploads together, in files of the largest size.
MAX_FILES = 100

# Seconds after which an upload is deleted that no run uses.
UNUSED_SECONDS = 24 * 3600

# Decoders of Pillow that a picture may use; all others are not even tried.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")

# The kinds of films by their first bytes, with the ending of the stored file. FFmpeg also reads lists that name other
# files and addresses; no such file passes.
_FILM_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb".{4}ftyp", re.DOTALL), ".mp4"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), ".mkv"),
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), ".avi"),
    (re.compile(rb"GIF8[79]a"), ".gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), ".webp"),
)
FILM_TYPES = tuple(ending for _, ending in _FILM_KINDS)

_ID = re.compile(rf"[0-9a-f]{{32}}(\.png|{'|'.join(re.escape(ending) for ending in FILM_TYPES)})")
_SAMPLE_PREFIX = "sample:"


class UploadStore:
    """Stores uploads as files with generated names, and finds them by these names.

    Args:
        folder: folder of the files, created if necessary.
        max_bytes: largest file.
        max_pixels: largest width times height in px.
    """

    def __init__(self, folder: Path, max_bytes: int, max_pixels: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.max_pixels = max_pixels
        make_writable_folder(folder)

    def add_picture(self, file: Path | Image.Image) -> str:
        """Stores a picture as PNG, upright, in sRGB and without metadata, and returns its id.

        Args:
            file: an uploaded file, or a picture that is decoded already.

        Raises:
            InputError: it is too large, or not a picture in a permitted format.
        """
        with self._open(file) as opened:
            return self._save(_clean(opened))

    def add_mask(self, image: Image.Image) -> str:
        """Stores a mask as gray PNG, white where it applies, and returns its id.

        Args:
            image: a gray picture, or a picture whose opacity is the mask if it has one.

        Raises:
            InputError: it is too large.
        """
        with self._open(image) as opened:
            mask = opened.getchannel("A") if opened.mode in ("RGBA", "LA") else opened.convert("L")
            return self._save(mask)

    def add_film(self, file: Path) -> str:
        """Stores a film and returns its id. The file stays as it is, after its first frame was decoded.

        Raises:
            InputError: it is too large, or not a film in a permitted format.
        """
        self._check_bytes(file)
        self._check_room()
        content = file.read_bytes()
        ending = next((ending for kind, ending in _FILM_KINDS if kind.match(content)), None)
        if ending is None or (ending in (".gif", ".webp") and not is_animation(file)):
            raise InputError("Expected a film as mp4, mov, mkv, webm, avi, gif or webp, but got another kind of file.")
        name = f"{secrets.token_hex(16)}{ending}"
        path = self.folder / name
        write_bytes(path, content)
        try:
            with limit_pixels(self.max_pixels):
                info = Film(path, FrameSelection(last=0)).info
                check_pixels((info.width, info.height), "this film")
        except BaseException as error:
            path.unlink()
            if isinstance(error, InputError):
                raise InputError(str(error).replace(str(path), "this file")) from error
            raise
        return name

    def path(self, id: str) -> Path:
        """Returns the file of an id or of `sample:NAME`.

        Raises:
            InputError: there is no such upload or sample.
        """
        if isinstance(id, str) and id.startswith(_SAMPLE_PREFIX):
            return sample_path(id.removeprefix(_SAMPLE_PREFIX))
        path = self.folder / id if isinstance(id, str) and _ID.fullmatch(id) else None
        if path is None or path.is_symlink() or not path.is_file():
            raise InputError("Expected a picture that was uploaded before, but there is none with this id.")
        return path

    def is_film(self, id: str) -> bool:
        """Whether an id or sample is a film and not a picture."""
        return self.path(id).suffix != ".png" and (not id.startswith(_SAMPLE_PREFIX) or id == "sample:clip")

    def samples(self) -> dict[str, Path]:
        """Returns the files of the sample pictures by `sample:NAME`: contents, styles and masks."""
        return {f"{_SAMPLE_PREFIX}{name}": sample_path(name) for name in CONTENTS + STYLES + MASKS}

    def remove_unused(self, used: Collection[str]) -> None:
        """Deletes uploads that no run uses and that are older than a day.

        Args:
            used: ids of all runs.
        """
        for changed, _, path in list_files(self.folder):
            if _ID.fullmatch(path.name) and path.name not in used and time.time() - changed > UNUSED_SECONDS:
                path.unlink()

    def _check_room(self) -> None:
        if sum(size for _, size, _ in list_files(self.folder)) > MAX_FILES * self.max_bytes:
            raise InputError(
                f"Expected at most {MAX_FILES * self.max_bytes / 2**20:.4g} MB of uploads, but there are more: delete "
                "folders of old runs and start the app again."
            )

    @contextmanager
    def _open(self, file: Path | Image.Image) -> Iterator[Image.Image]:
        """Opens and decodes a picture within the limits."""
        try:
            with limit_pixels(self.max_pixels), suspend_pillow_limit():
                if isinstance(file, Image.Image):
                    check_pixels(file.size, "this one")
                    yield file
                    return
                self._check_bytes(file)
                with Image.open(file, formats=PICTURE_FORMATS) as opened:
                    check_pixels(opened.size, "this one")
                    opened.load()
                    yield opened
        except InputError:
            raise
        except Exception as error:  # the readers of formats raise many kinds of exceptions
            raise InputError(
                f"Expected a picture as {', '.join(PICTURE_FORMATS).lower()}, but this file cannot be read as one."
            ) from error

    def _check_bytes(self, file: Path) -> None:
        size = file.stat().st_size
        if size > self.max_bytes:
            raise InputError(
                f"Expected a file of at most {self.max_bytes / 2**20:.4g} MB, but got {size / 2**20:.4g} MB: "
                "start the app with a larger --max_upload_mb."
            )

    def _save(self, image: Image.Image) -> str:
        self._check_room()
        name = f"{secrets.token_hex(16)}.png"
        with atomic_path(self.folder / name) as temporary, temporary.open("wb") as stream:
            image.save(stream, "PNG", compress_level=4)
        return name


def _clean(opened: Image.Image) -> Image.Image:
    """Returns an upright sRGB picture of 8 bits with its opacity and nothing else."""
    if opened.mode.startswith(("I", "F")):
        return to_pil(from_pil(opened).image)
    upright = ImageOps.exif_transpose(opened)
    alpha = upright.convert("RGBA").getchannel("A") if upright.has_transparency_data else None
    colors = convert_to_srgb(upright)
    # A new picture, because Pillow also copies what it knows about an old one into a file.
    clean = Image.new("RGB", colors.size)
    clean.paste(colors)
    if alpha is not None:
        clean.putalpha(alpha)
    return clean
