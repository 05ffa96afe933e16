"""Uploaded pictures and films, under generated ids."""

from pathlib import Path

from PIL import Image

# Limits of an upload: bytes of the file, and width times height in px.
DEFAULT_MAX_UPLOAD_MB = 40.0
DEFAULT_UPLOAD_PIXELS = 50e6


class UploadStore:
    """Stores uploads as files that this program wrote, and finds them by id.

    Args:
        folder: folder of the files, created if necessary.
        max_bytes: largest file.
        max_pixels: largest width times height in px.
    """

    def __init__(self, folder: Path, max_bytes: int, max_pixels: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.max_pixels = max_pixels

    def add_picture(self, file: Path | Image.Image) -> str:
        """Stores a picture as PNG, upright and without metadata, and returns its id.

        Raises:
            InputError: it is too large, or not a picture in a permitted format.
        """
        raise NotImplementedError

    def add_mask(self, image: Image.Image) -> str:
        """Stores a mask as gray PNG, white where it applies, and returns its id."""
        raise NotImplementedError

    def add_film(self, file: Path) -> str:
        """Stores a film and returns its id.

        Raises:
            InputError: it is too large, or not a film in a permitted format.
        """
        raise NotImplementedError

    def path(self, id: str) -> Path:
        """Returns the file of an id or of `sample:NAME`.

        Raises:
            InputError: there is no such upload or sample.
        """
        raise NotImplementedError

    def samples(self) -> dict[str, Path]:
        """Returns the files of the sample pictures, by `sample:NAME`."""
        raise NotImplementedError
