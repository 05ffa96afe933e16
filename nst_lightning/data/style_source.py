"""A style: its file, its share, and the sizes and directions in which it is used."""

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from nst_lightning.data.colors import ColorMode, check_color_mode, check_color_strength
from nst_lightning.data.label_maps import MapSource
from nst_lightning.data.masks import MaskSource, check_mask_source
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, from_pil, read_image
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.samples import locate

# A picture in Python: a path, `sample:NAME`, a PIL image, or tensors.
PictureSource = str | os.PathLike[str] | Image.Image | Picture

# What of a style is made equal to the image before its scale applies.
StyleMatch = Literal["long", "short", "area"]


@dataclass(frozen=True)
class StyleVariant:
    """A style in one size and direction; the losses compare with each variant.

    Attributes:
        number: number of the style, from 0.
        scale: size relative to the image.
        rotation: degrees counterclockwise, a multiple of 90.
        weight: blend weight; those of all variants sum to 1.
    """

    number: int
    scale: float
    rotation: int
    weight: float


@dataclass(frozen=True)
class StyleSource:
    """A style and how it is used: a mapping in ``data.style``.

    Masks are files or, in Python, pictures or arrays; :func:`nst_lightning.data.masks.read_mask` lists their forms.

    Attributes:
        file: image file or `sample:NAME`; in Python also a picture.
        weight: its share among several styles; only the ratio of the weights matters.
        scale: size relative to the image, or several sizes whose statistics are averaged; `data.style_scale` by
            default.
        rotation: degrees counterclockwise, a multiple of 90, or several that are averaged; `data.style_rotation` by
            default.
        mask: where the style goes in the image: white where it applies. By default it applies everywhere.
        region: part of the style that is used, white where it is. By default all of it.
        map: color-coded picture of the style, instead of `mask` and `region`: each area goes to the area of
            `data.content_map` with the same color.
        invert: whether to exchange black and white in `mask`.
        colors: whose colors the result has where this style is painted; `data.colors` by default.
        color_strength: from 0 to 1; `data.color_strength` by default.

    Raises:
        InputError: a value cannot be used.
    """

    file: PictureSource
    weight: float = 1.0
    scale: float | Sequence[float] | None = None
    rotation: int | Sequence[int] | None = None
    mask: MaskSource | None = None
    region: MaskSource | None = None
    map: MapSource | None = None
    invert: bool = False
    colors: ColorMode | None = None
    color_strength: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.file, str | os.PathLike | Image.Image | Picture):
            raise InputError(f"Expected `file` of a style to be an image file, but got {self.file!r}.")
        if not _is_number(self.weight) or not 0 <= self.weight < math.inf:
            raise InputError(f"Expected `weight` of a style to be 0 or more, but got {self.weight!r}.")
        if self.scale is not None:
            check_scales("scale", self.scale)
        if self.rotation is not None:
            check_rotations("rotation", self.rotation)
        self._check_masks()

    def _check_masks(self) -> None:
        for name, source in (("mask", self.mask), ("region", self.region), ("map", self.map)):
            check_mask_source(name, source)
        if self.map is not None and (self.mask is not None or self.region is not None):
            raise InputError("Expected `map` or `mask` and `region` in a style, but got both: remove one of them.")
        if not isinstance(self.invert, bool):
            raise InputError(f"Expected `invert` of a style to be true or false, but got {self.invert!r}.")
        if self.invert and self.mask is None:
            raise InputError("Expected a `mask` in a style with `invert`, but got none: add the mask.")

    @property
    def is_masked(self) -> bool:
        """Whether the style has a mask, a region or a map."""
        return self.mask is not None or self.region is not None or self.map is not None
        if self.colors is not None:
            check_color_mode(self.colors)
        if self.color_strength is not None:
            check_color_strength(self.color_strength)

    def read(self) -> Picture:
        """Reads the picture.

        Raises:
            InputError: the file does not exist or is not an image.
        """
        return read_picture(self.file)


def parse_styles(declared: Any) -> list[StyleSource]:
    """Converts the option ``data.style`` to styles.

    Args:
        declared: a file, a mapping with the attributes of :class:`StyleSource`, a list of these, or None.

    Raises:
        InputError: a mapping has an unknown key or lacks the file, or a value cannot be used.
    """
    if declared is None:
        return []
    return [_parse_style(style) for style in (declared if isinstance(declared, list | tuple) else [declared])]


def _parse_style(declared: Any) -> StyleSource:
    if isinstance(declared, StyleSource):
        return declared
    if not isinstance(declared, Mapping):
        return StyleSource(declared)
    known = [field.name for field in fields(StyleSource)]
    for key in declared:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            raise InputError(
                f"Expected keys of a style among {', '.join(known)}, but got {key!r}: did you mean {nearest!r}?"
            )
    if "file" not in declared:
        raise InputError(f"Expected `file` in each style, but got {dict(declared)}: add the image file.")
    return StyleSource(**declared)


def read_picture(source: PictureSource) -> Picture:
    """Reads a picture from a file or a sample, or converts a PIL image.

    Raises:
        InputError: the file does not exist or is not an image.
    """
    if isinstance(source, Picture):
        return source
    return from_pil(source) if isinstance(source, Image.Image) else read_image(locate(os.fspath(source)))


def check_scales(name: str, scales: Any) -> list[float]:
    """Returns one or several sizes of a style as a list.

    Args:
        name: name of the option in the message.
        scales: a number or a list of numbers.

    Raises:
        InputError: there are none, or one is not positive.
    """
    values = list(scales) if isinstance(scales, Sequence) and not isinstance(scales, str) else [scales]
    if not values or not all(_is_number(value) and 0 < value < math.inf for value in values):
        raise InputError(f"Expected `{name}` to be positive, or a list of positive numbers, but got {scales!r}.")
    return values


def check_rotations(name: str, rotations: Any) -> list[int]:
    """Returns one or several rotations of a style as a list of degrees.

    Args:
        name: name of the option in the message.
        rotations: a number or a list of numbers.

    Raises:
        InputError: there are none, or one is not a multiple of 90.
    """
    values = list(rotations) if isinstance(rotations, Sequence) and not isinstance(rotations, str) else [rotations]
    if not values or not all(_is_number(value) and value % 90 == 0 for value in values):
        raise InputError(
            f"Expected `{name}` to be a multiple of 90 degrees, or a list of multiples, but got {rotations!r}."
        )
    return [int(value) for value in values]


def _is_number(value: Any) -> bool:
    # In Python, True and False are integers; here they are a mistake.
    return isinstance(value, int | float) and not isinstance(value, bool)


def list_variants(
    styles: Sequence[StyleSource],
    blend_weights: Sequence[float],
    default_scales: Sequence[float],
    default_rotations: Sequence[int],
) -> list[StyleVariant]:
    """Lists every size and direction of every style; the variants of a style share its blend weight equally.

    Args:
        styles: the styles.
        blend_weights: weight of each style; they sum to 1.
        default_scales: sizes of the styles without `scale`.
        default_rotations: rotations of the styles without `rotation`.
    """
    variants = []
    for number, (style, weight) in enumerate(zip(styles, blend_weights, strict=True)):
        scales = default_scales if style.scale is None else check_scales("scale", style.scale)
        rotations = default_rotations if style.rotation is None else check_rotations("rotation", style.rotation)
        share = weight / (len(scales) * len(rotations))
        variants += [StyleVariant(number, scale, rotation, share) for scale in scales for rotation in rotations]
    return variants


def fit_style(style: tuple[int, int], image: tuple[int, int], scale: float, match: StyleMatch) -> tuple[int, int]:
    """Computes height and width in px of a style for an image.

    Args:
        style: original height and width of the style in px.
        image: height and width of the image in px.
        scale: size of the style relative to the image.
        match: what is equal at a scale of 1: the long edge, the short edge, or the area.
    """
    if match == "long":
        return fit_long_edge(*style, max(1, round(max(image) * scale)))
    if match == "short":
        factor = scale * min(image) / min(style)
    else:
        factor = scale * math.sqrt(math.prod(image) / math.prod(style))
    return max(1, round(style[0] * factor)), max(1, round(style[1] * factor))


def transform_style(
    values: Tensor,
    image: tuple[int, int],
    variant: StyleVariant,
    match: StyleMatch,
    original: tuple[int, int] | None = None,
) -> Tensor:
    """Resizes and rotates a style, or a map of its pixels, for an image.

    Args:
        values: ``(1, channels, height, width)`` in [0, 1].
        image: height and width of the image in px.
        variant: size and direction.
        match: see :func:`fit_style`.
        original: height and width of the style in px, if `values` is a map of another size.
    """
    height, width = original or values.shape[-2:]
    turned = variant.rotation // 90 % 4
    # The long and the short edge of a picture do not depend on its direction.
    resized = resize(values, *fit_style((height, width), image, variant.scale, match))
    return torch.rot90(resized, turned, (-2, -1)).contiguous() if turned else resized
