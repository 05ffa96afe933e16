"""Where each style goes: the masks of the styles, and what happens where none applies."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nst_lightning.data.content_source import ContentSource, NoContent
from nst_lightning.data.film_content import FilmContent
from nst_lightning.data.label_maps import LabelMap, MapSource, match_labels, read_label_map
from nst_lightning.data.mask_frames import FilmMask, Mask, StillMask, open_mask
from nst_lightning.data.masks import (
    FAINTEST,
    MaskSource,
    check_mask,
    check_mask_source,
    check_proportions,
    describe_mask,
    read_mask,
)
from nst_lightning.data.style_source import StyleSource
from nst_lightning.errors import InputError
from nst_lightning.functional.shares import fill_rest, share_pixels
from nst_lightning.images.io import Picture

# What happens where no mask applies: the photograph stays, a style with this number goes there, or it is an error.
Rest = Literal["content"] | int | None

# Share of the picture that may have no style.
MAX_UNCOVERED = 1e-3

# Longest edge in px at which it is measured.
LARGEST_CHECK = 1024


@dataclass(frozen=True)
class MaskOptions:
    """Options of the masks of a run; see the arguments of :class:`nst_lightning.data.transfer.TransferData`.

    Attributes:
        content_map: color-coded picture of the content, or None.
        rest: what happens where no mask applies.
        hold: mask where the content is held more strongly, or None.
        hold_weight: factor of the content terms where `hold` is white.
        style_strength: mask that lowers the style where it is not white, or None.
        move_masks: whether still masks follow the motion of a film.

    Raises:
        InputError: a value cannot be used.
    """

    content_map: MapSource | None = None
    rest: Rest = None
    hold: MaskSource | None = None
    hold_weight: float = 10.0
    style_strength: MaskSource | None = None
    move_masks: bool = False

    def __post_init__(self) -> None:
        for name, source in (
            ("content_map", self.content_map),
            ("hold", self.hold),
            ("style_strength", self.style_strength),
        ):
            check_mask_source(name, source)
        if not 1 <= self.hold_weight < math.inf:
            raise InputError(f"Expected `hold_weight` to be 1 or more, but got {self.hold_weight}.")

    def check_styles(self, styles: Sequence[StyleSource]) -> None:
        """Checks that the options fit the styles, before any file is read.

        Raises:
            InputError: they do not.
        """
        has_map = any(style.map is not None for style in styles)
        if has_map and self.content_map is None:
            raise InputError("Expected `content_map` for the `map` of a style, but got none: add --data.content_map.")
        if self.content_map is not None and not has_map:
            raise InputError(
                "Expected a style with a `map` for `content_map`, but none has one: add `map: FILE` to each style."
            )
        if self.rest is None:
            return
        numbers = range(len(styles))
        is_number = isinstance(self.rest, int) and not isinstance(self.rest, bool) and self.rest in numbers
        if self.rest != "content" and not is_number:
            known = f"a number from 0 to {len(styles) - 1}" if styles else "null, without styles"
            raise InputError(f"Expected `rest` to be content or {known}, but got {self.rest!r}.")
        if not any(style.mask is not None or style.map is not None for style in styles):
            raise InputError(
                f"Expected a style with a `mask` for `rest: {self.rest}`, but all styles apply everywhere: add one, or "
                "remove `rest`."
            )


@dataclass(frozen=True)
class StylePart:
    """A style, or its part with one color of its map, and where it goes.

    Attributes:
        number: number of the style.
        mask: where it goes in the image; None for everywhere.
        region: part of the picture that is used, ``(1, 1, height, width)`` in [0, 1]; None for all of it.
    """

    number: int
    mask: Mask | None = None
    region: Tensor | None = None


def list_parts(
    styles: Sequence[StyleSource], pictures: Sequence[Picture], content: ContentSource, options: MaskOptions
) -> list[StylePart]:
    """Reads masks, regions and maps; a style with a map has one part for each of its colors.

    Args:
        styles: the styles.
        pictures: picture of each style.
        content: the content.
        options: the options.

    Raises:
        InputError: a file cannot be read, or does not fit its picture or the other map.
    """
    mapped = _read_mapped_parts(styles, pictures, content, options)
    parts = []
    for number, (style, picture) in enumerate(zip(styles, pictures, strict=True)):
        name = f"of style {number}"
        if style.map is not None:
            parts += mapped[number]
            continue
        mask, region = None, None
        if style.mask is not None:
            mask = open_mask(style.mask, f"`mask` {name}", content, options.move_masks, style.invert)
        if style.region is not None:
            region = read_mask(style.region, f"`region` {name}", picture)
            check_mask(region, _shape(picture), describe_mask(f"`region` {name}", style.region))
        parts.append(StylePart(number, mask, region))
    return parts


def _read_mapped_parts(
    styles: Sequence[StyleSource], pictures: Sequence[Picture], content: ContentSource, options: MaskOptions
) -> dict[int, list[StylePart]]:
    """Returns the parts of each style that has a map, by its number."""
    if options.content_map is None:
        return {}
    whole = read_label_map(options.content_map, "`content_map`")
    check_proportions(whole.shape, (content.height, content.width), f"`content_map` {whole.name}")
    maps: dict[int, LabelMap] = {}
    for number, style in enumerate(styles):
        if style.map is not None:
            maps[number] = read_label_map(style.map, f"`map` of style {number}")
            check_proportions(maps[number].shape, _shape(pictures[number]), f"`map` {maps[number].name}")
    by_index = match_labels(whole, list(maps.values()), options.rest is not None)
    masks: dict[int, Mask] = {
        label: StillMask(whole.mask(label, by_index), content, options.move_masks) for label in whole.labels(by_index)
    }
    return {
        number: [StylePart(number, masks[label], own.mask(label, by_index)) for label in own.labels(by_index)]
        for number, own in maps.items()
    }


def _shape(picture: Picture) -> tuple[int, int]:
    return picture.image.shape[-2], picture.image.shape[-1]


class Placement:
    """The share of each part of the styles at each pixel.

    Args:
        parts: the parts; at least one has a mask.
        weights: weight of each part, relative to the others where they overlap.
        rest: what happens where no mask applies.

    Raises:
        InputError: `rest` names a style with several parts.
    """

    def __init__(self, parts: Sequence[StylePart], weights: Sequence[float], rest: Rest) -> None:
        self.masks = [part.mask for part in parts]
        self.weights = list(weights)
        self.leaves_rest = rest == "content"
        filling = [n for n, part in enumerate(parts) if part.number == rest]
        if len(filling) > 1:
            raise InputError(f"Expected `rest` to be a style with one color in its `map`, but {rest} has several.")
        self.filling = filling[0] if filling else None
        self._last: tuple[tuple[int, int], int, list[Tensor]] | None = None

    def with_weights(self, weights: Sequence[float]) -> "Placement":
        """Returns the same masks with another weight of each part."""
        changed = copy.copy(self)
        changed.weights, changed._last = list(weights), None
        return changed

    def shares(self, shape: tuple[int, int], frame: int = 0) -> list[Tensor]:
        """Computes the shares at each pixel.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 1, height, width)`` in [0, 1] for each part.
        """
        if self._last is None or self._last[:2] != (shape, frame):
            shares = share_pixels(self._read_masks(shape, frame), self.weights, self.leaves_rest)
            self._last = shape, frame, [share[None] for share in shares]
        return self._last[2]

    def _read_masks(self, shape: tuple[int, int], frame: int) -> Tensor:
        """Returns the masks ``(parts, 1, height, width)``, extended by the rest that goes to a style."""
        planes = []
        for number, mask in enumerate(self.masks):
            # A style that `rest` names goes nowhere else by itself.
            constant = torch.zeros if number == self.filling else torch.ones
            planes.append(constant(1, 1, *shape) if mask is None else mask.at(shape, frame))
        masks = torch.cat(planes)
        return masks if self.filling is None else fill_rest(masks, self.filling)

    def check_coverage(self, content: ContentSource) -> None:
        """Checks that some style applies everywhere, unless the content stays there.

        Args:
            content: the content; all of its frames are checked if a mask is a film.

        Raises:
            InputError: a noticeable part of the picture has no style.
        """
        if self.leaves_rest:
            return
        has_films = any(isinstance(mask, FilmMask) for mask in self.masks)
        counts = torch.tensor(self.weights)[:, None, None, None] > 0
        # At the size of the content, where resizing does not widen the masks, as far as that is quick.
        shape = content.shape(min(max(content.height, content.width), LARGEST_CHECK))
        for frame in range(content.frame_count if has_films else 1):
            covered = (self._read_masks(shape, frame) * counts).amax(0) >= FAINTEST
            missing = 1 - float(covered.float().mean())
            if missing > MAX_UNCOVERED:
                place = f"frame {frame}" if has_films else "the picture"
                raise InputError(
                    f"Expected a style everywhere, but {100 * missing:.1f} % of {place} has none: let it stay as it is "
                    "with --data.rest content, or give it the style with a number, such as --data.rest 0."
                )


class ImageMasks:
    """The masks of the image that are of no style: where the content is held, and how strong the style is.

    Args:
        content: the content.
        options: the options.

    Raises:
        InputError: a mask cannot be used, or the content or its optical flow is missing.
    """

    def __init__(self, content: ContentSource, options: MaskOptions) -> None:
        if options.move_masks and isinstance(content, FilmContent) and content.options.flow is None:
            raise InputError("Expected optical flow for `move_masks`, but `flow` is none: choose --data.flow dis.")
        for name, value in (("hold", options.hold), ("rest: content", options.rest == "content" or None)):
            if value is not None and isinstance(content, NoContent):
                raise InputError(f"Expected a content for `{name}`, but got none: add --data.content FILE.")
        opened = {
            name: None if source is None else open_mask(source, f"`{name}`", content, options.move_masks)
            for name, source in (("hold", options.hold), ("style_strength", options.style_strength))
        }
        self._hold, self._strength = opened["hold"], opened["style_strength"]
        self._hold_weight = options.hold_weight

    def hold_map(self, shape: tuple[int, int], frame: int) -> Tensor | None:
        """See :meth:`nst_lightning.data.transfer.TransferData.hold_map`."""
        return None if self._hold is None else 1 + (self._hold_weight - 1) * self._hold.at(shape, frame)

    def strength_map(self, shape: tuple[int, int], frame: int) -> Tensor | None:
        """See :meth:`nst_lightning.data.transfer.TransferData.strength_map`."""
        return None if self._strength is None else self._strength.at(shape, frame)
