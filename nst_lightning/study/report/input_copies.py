"""Copies contents and styles into the study's folder, for the page."""

import hashlib
import io
from pathlib import Path

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.images.io import read_image, to_pil
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.samples import locate

# Long edge of a copy in px, unless its shape is requested.
LONGEST_EDGE = 512


class InputCopies:
    """Makes small copies of contents and styles, each once.

    Args:
        output: folder of the study.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._paths: dict[tuple[str, tuple[int, int] | None], str] = {}

    def path(self, file: str | None, shape: tuple[int, int] | None = None) -> str:
        """Returns the path of a copy relative to the study's folder, or an empty string if the file cannot be read.

        Args:
            file: file or sample, as in a configuration.
            shape: height and width of the copy in px. Default: a long edge of at most 512 px.
        """
        if file is None:
            return ""
        if (file, shape) not in self._paths:
            self._paths[file, shape] = self._copy(file, shape)
        return self._paths[file, shape]

    def _copy(self, file: str, shape: tuple[int, int] | None) -> str:
        try:
            image = read_image(locate(file)).image
        except InputError:  # reported by the runs that use the file
            return ""
        full_height, full_width = image.shape[-2:]
        long_edge = min(LONGEST_EDGE, max(full_height, full_width))
        height, width = shape or fit_long_edge(full_height, full_width, long_edge)
        jpeg = io.BytesIO()
        to_pil(resize(image, height, width)).save(jpeg, "JPEG", quality=92)
        # Named by its content, so that a changed picture under an old name gets a new copy.
        path = self.output / "inputs" / f"{hashlib.sha256(jpeg.getvalue()).hexdigest()[:16]}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, jpeg.getvalue())
        return path.relative_to(self.output).as_posix()
