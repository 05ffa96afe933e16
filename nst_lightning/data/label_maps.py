"""Color-coded pictures: areas of one color, or of one index of a palette, that become masks."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.io import read_file
from nst_lightning.samples import locate

# A color-coded picture in Python: a path, a PIL image, or ``(height, width)`` integers from 0 to 255.
MapSource = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor

# An 8-bit segmentation has at most 256 labels.
MAX_COLORS = 256

# An antialiased picture has many mixed colors with few pixels each: their minimum number, share of all colors, and the
# share of the picture that each of them covers at most.
MIN_MIXED_COLORS, MIXED_COLORS_SHARE, MIXED_COLOR_AREA = 16, 0.75, 1e-3


@dataclass(frozen=True)
class LabelMap:
    """A color-coded picture.

    Attributes:
        name: name of the picture in messages.
        colors: color of each pixel, ``(height, width)``, as 0xRRGGBBAA.
        indices: index of each pixel in the palette, or its gray value, ``(height, width)``; None for colored pictures.
    """

    name: str
    colors: NDArray[np.uint32]
    indices: NDArray[np.uint8] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.colors.shape[0], self.colors.shape[1]

    @property
    def repeats_colors(self) -> bool:
        """Whether two indices that the picture uses have one color."""
        return self.indices is not None and len(np.unique(self.indices)) > len(np.unique(self.colors))

    def labels(self, by_index: bool = False) -> dict[int, str]:
        """Returns the colors, or else the indices, that occur, each with its name such as ``#ff8800`` or ``#3``."""
        values = self._values(by_index)
        return {int(value): f"#{value}" if by_index else name_color(int(value)) for value in np.unique(values)}

    def mask(self, label: int, by_index: bool = False) -> Tensor:
        """Returns 1 for the pixels with a label and 0 for the others, ``(1, 1, height, width)``."""
        return torch.from_numpy((self._values(by_index) == label).astype(np.float32))[None, None]

    def select(self, label: str) -> Tensor:
        """Returns the mask of a label as a user writes it: an index such as ``3``, or a color such as ``ff8800``.

        Raises:
            InputError: the text is neither, the picture has no palette, or no pixel has the label.
        """
        is_index = re.fullmatch(r"\d{1,3}", label) is not None
        if not is_index and not re.fullmatch(r"[0-9a-fA-F]{6}([0-9a-fA-F]{2})?", label):
            raise InputError(
                f"Expected an index such as #3, a color such as #ff8800, or #alpha after {self.name}, but got #{label}."
            )
        if is_index and self.indices is None:
            raise InputError(
                f"Expected a palette in {self.name} for the index {label}, but it has none: "
                "name a color such as #ff8800."
            )
        value = int(label) if is_index else int(label if len(label) == 8 else f"{label}ff", 16)
        known = self.labels(is_index)
        if value not in known:
            names = ", ".join(list(known.values())[:12]) + (", ..." if len(known) > 12 else "")
            raise InputError(f"Expected the label #{label} in {self.name}, but its labels are {names}.")
        return self.mask(value, is_index)

    def _values(self, by_index: bool) -> NDArray[Any]:
        if by_index:
            assert self.indices is not None
            return self.indices
        return self.colors


def read_label_map(source: MapSource, name: str) -> LabelMap:
    """Reads a color-coded picture.

    Args:
        source: file, PIL image or integers.
        name: name of the option in messages; a file is also named by its path.

    Raises:
        InputError: the file cannot be read, is a JPEG, or has too many colors for a map.
    """
    if isinstance(source, np.ndarray | Tensor):
        values = source.detach().cpu().numpy() if isinstance(source, Tensor) else source
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() > 255:
            raise InputError(
                f"Expected {name} to be (height, width) integers from 0 to 255, but got {values.dtype} of shape "
                f"{values.shape}."
            )
        return _convert_to_labels(Image.fromarray(values.astype(np.uint8)), name)
    if isinstance(source, Image.Image):
        return _convert_to_labels(source, name)
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"Expected {name} to be a color-coded picture, but got {source!r}.")
    return read_file(locate(os.fspath(source)), lambda opened: _convert_to_labels(opened, str(source)))


def _convert_to_labels(picture: Image.Image, name: str) -> LabelMap:
    if picture.format in ("JPEG", "MPO"):
        raise InputError(
            f"Expected exact colors in {name}, but it is a JPEG, whose compression changes colors: save it as PNG."
        )
    upright = ImageOps.exif_transpose(picture)
    upright = upright.convert("L") if upright.mode == "1" else upright
    if upright.mode not in ("L", "P", "LA", "PA", "RGB", "RGBA"):
        raise InputError(
            f"Expected 8-bit colors or a palette in {name}, but got {upright.mode}: save it as an 8-bit PNG."
        )
    indices = np.array(upright) if upright.mode in ("L", "P") else None
    channels = np.array(upright.convert("RGBA")).astype(np.uint32)
    # Editors store any color in transparent pixels.
    channels[channels[..., 3] == 0] = 0
    colors: NDArray[np.uint32] = (channels << np.array([24, 16, 8, 0], np.uint32)).sum(-1, dtype=np.uint32)
    if upright.mode != "P":
        _check_color_count(colors, name)
    return LabelMap(name, colors, indices)


def _check_color_count(colors: NDArray[np.uint32], name: str) -> None:
    """Refuses pictures whose edges or areas are mixtures of colors."""
    counts = np.unique(colors, return_counts=True)[1]
    mixed = int((counts < MIXED_COLOR_AREA * colors.size).sum())
    if len(counts) > MAX_COLORS or mixed > max(MIN_MIXED_COLORS, MIXED_COLORS_SHARE * len(counts)):
        raise InputError(
            f"Expected one exact color for each area in {name}, but it has {len(counts)} colors, as after antialiasing "
            "or lossy compression: draw it with hard edges and save it as PNG."
        )


def name_color(color: int) -> str:
    """Returns the name of a color 0xRRGGBBAA, such as ``#ff8800``; a transparent one has two more digits."""
    return f"#{color >> 8:06x}" if color & 255 == 255 else f"#{color:08x}"


def match_labels(content: LabelMap, styles: Sequence[LabelMap], has_rest: bool) -> bool:
    """Checks that the areas of the content and the parts of the styles belong together.

    Equal colors belong together. Palettes that give one color to several indices are compared by index.

    Args:
        content: map of the content.
        styles: maps of the styles.
        has_rest: whether an area of the content may have no style.

    Returns:
        Whether labels are compared by index.

    Raises:
        InputError: a label exists in one of the maps only.
    """
    by_index = any(labels.repeats_colors for labels in (content, *styles))
    for labels in (content, *styles):
        if by_index and labels.indices is None:
            repeating = next(other for other in (content, *styles) if other.repeats_colors)
            raise InputError(
                f"Expected a palette in {labels.name}, as that of {repeating.name} has a color twice and is compared "
                "by index: give both maps a palette, or each index a color of its own."
            )
    known, used = content.labels(by_index), set[int]()
    for style in styles:
        for label, label_name in style.labels(by_index).items():
            if label not in known:
                raise InputError(
                    f"Expected the color {label_name} of {style.name} in {content.name} too, but that map has only "
                    f"{_join(known.values())}: use equal colors in both."
                )
            used.add(label)
    for label, label_name in known.items():
        if label not in used and not has_rest:
            files = " or ".join(style.name for style in styles)
            raise InputError(
                f"Expected the color {label_name} of {content.name} in {files} too, but no style has it: use equal "
                "colors in both, or say with --data.rest what happens there."
            )
    return by_index


def _join(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
