"""The pictures a study is painted from, beside the page."""

import hashlib
import io
from pathlib import Path

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.images.io import read_image, to_pil
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.samples import locate

SIZE = 512


class Inputs:
    """Copies of contents and styles in the study's folder, at a size for the page.

    Args:
        output: the study's folder.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._known: dict[tuple[str, tuple[int, int] | None], str] = {}

    def src(self, file: str | None, shape: tuple[int, int] | None) -> str:
        """Where the page finds a picture, or nothing where there is none.

        Args:
            file: as a configuration names it.
            shape: height and width in px, or None for a long edge of 512 px at most.
        """
        if file is None:
            return ""
        if (file, shape) not in self._known:
            self._known[file, shape] = self._copy(file, shape)
        return self._known[file, shape]

    def _copy(self, file: str, shape: tuple[int, int] | None) -> str:
        try:
            image = read_image(locate(file)).image
        except InputError:  # the runs that need it say why
            return ""
        full_height, full_width = image.shape[-2:]
        height, width = shape or fit_long_edge(full_height, full_width, min(SIZE, max(full_height, full_width)))
        written = io.BytesIO()
        to_pil(resize(image, height, width)).save(written, "JPEG", quality=92)
        # Named by what is in it, so that another picture under the same name is another file.
        name = f"{hashlib.sha256(written.getvalue()).hexdigest()[:16]}.jpg"
        path = self.output / "inputs" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, written.getvalue())
        return path.relative_to(self.output).as_posix()
