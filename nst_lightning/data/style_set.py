"""The styles of a run: their pictures, blend weights and colors at the size of a stage."""

import copy
from collections import Counter
from collections.abc import Collection, Sequence
from typing import get_args

from torch import Tensor

from nst_lightning.data.colors import ColorMode, ColorRegion, list_regions, resolve_colors
from nst_lightning.data.content_source import ContentSource
from nst_lightning.data.palette import Palette, StyleColors
from nst_lightning.data.placement import MaskOptions, Placement, list_parts
from nst_lightning.data.style_source import (
    StyleMatch,
    StyleSource,
    StyleVariant,
    check_rotations,
    check_scales,
    list_variants,
    transform_style,
)
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture

# Styles with more values than this together are not kept between two stages.
MOST_KEPT_VALUES = 2**26

# Height and width in px.
Shape = tuple[int, int]


class StyleSet:
    """The styles of a run in every size and direction in which they are used.

    Args:
        sources: the styles.
        weights: weights of the styles, in their order; by default those of the sources.
        scale: size relative to the image, or several, of the sources that have none.
        rotation: degrees counterclockwise, or several, of the sources that have none.
        match: what of a style is made equal to the image before its scale applies.
        colors: whose colors the result has, for the sources that have no `colors`.
        color_strength: strength of `colors`, for the sources that have none.

    Raises:
        InputError: a value cannot be used.
    """

    def __init__(
        self,
        sources: Sequence[StyleSource],
        weights: Sequence[float] | None = None,
        scale: float | Sequence[float] = 1.0,
        rotation: int | Sequence[int] = 0,
        match: StyleMatch = "long",
        colors: ColorMode = "style",
        color_strength: float = 1.0,
    ) -> None:
        if match not in get_args(StyleMatch):
            raise InputError(f"Expected `style_match` to be {' or '.join(get_args(StyleMatch))}, but got {match!r}.")
        self.sources = list(sources)
        self.match = match
        self.blend_weights = _normalize(weights, self.sources)
        own_colors = [(source.colors, source.color_strength) for source in self.sources]
        self.colors = resolve_colors(own_colors, colors, color_strength)
        self._scales = check_scales("style_scale", scale)
        self._rotations = check_rotations("style_rotation", rotation)
        self.variants: list[StyleVariant] = self._list_variants()
        # Number in `data.style` of each source; a style with a map becomes several sources.
        self.declared_numbers = list(range(len(self.sources)))
        self._pictures: list[Picture] = []
        self._placement: Placement | None = None
        self._regions: list[Tensor | None] = [None] * len(self.sources)
        self._resized: tuple[Shape, list[Tensor]] = (0, 0), []
        self._resized_regions: tuple[Shape, list[Tensor | None]] = (0, 0), []

    @property
    def pictures(self) -> list[Picture]:
        """The picture of each source at its original size; the files are read once.

        Raises:
            InputError: a file cannot be read.
        """
        if not self._pictures:
            self._pictures = [source.read() for source in self.sources]
        return self._pictures

    def place(self, content: ContentSource, options: MaskOptions) -> None:
        """Reads masks, regions and maps. A style with a map becomes one of :attr:`sources` for each color of the map.

        The parts of a style share its blend weight equally.

        Args:
            content: the content.
            options: the options of the masks.

        Raises:
            InputError: a mask cannot be used, or a part of the content has no style.
        """
        parts = list_parts(self.sources, self.pictures, content, options)
        counts = Counter(part.number for part in parts)
        if any(part.mask is not None for part in parts):
            # Where it applies, a part has the weight of its style.
            weights = [self.blend_weights[part.number] for part in parts]
            self._placement = Placement(parts, weights, options.rest)
            self._placement.check_coverage(content)
        self._regions = [part.region for part in parts]
        self._pictures = [self.pictures[part.number] for part in parts]
        self.blend_weights = [self.blend_weights[part.number] / counts[part.number] for part in parts]
        self.sources = [self.sources[part.number] for part in parts]
        self.declared_numbers = [part.number for part in parts]
        self.colors = [self.colors[part.number] for part in parts]
        self.variants = self._list_variants()

    @property
    def declared_weights(self) -> list[float]:
        """The weight of each style in ``data.style``; they sum to 1."""
        pairs = list(zip(self.declared_numbers, self.blend_weights, strict=True))
        return [sum(w for n, w in pairs if n == number) for number in range(max(self.declared_numbers, default=-1) + 1)]

    def with_weights(self, weights: Sequence[float], content: ContentSource) -> "StyleSet":
        """Returns the same styles with other weights, after :meth:`place`.

        Args:
            weights: weights of the styles in ``data.style``, in their order.
            content: the content.

        Raises:
            InputError: a weight cannot be used, or a part of the content has no style.
        """
        changed = copy.copy(self)
        counts = Counter(self.declared_numbers)
        declared = _scale_to_one(weights, len(counts))
        if self._placement is not None:
            changed._placement = self._placement.with_weights([declared[number] for number in self.declared_numbers])
            changed._placement.check_coverage(content)
        changed.blend_weights = [declared[number] / counts[number] for number in self.declared_numbers]
        changed.variants = changed._list_variants()
        return changed

    def _list_variants(self) -> list[StyleVariant]:
        return list_variants(self.sources, self.blend_weights, self._scales, self._rotations)

    def resize(self, shape: Shape) -> list[Tensor]:
        """Resizes and rotates the styles for an image.

        Args:
            shape: height and width of the image in px.

        Returns:
            ``(1, 3, any, any)`` for each of :attr:`variants`.
        """
        # Consecutive frames of a film have the same size.
        if self._resized[0] != shape:
            # The parts of one style have one picture.
            done: dict[tuple[int, float, int], Tensor] = {}
            for variant in self.variants:
                image = self.pictures[variant.number].image
                key = id(image), variant.scale, variant.rotation
                if key not in done:
                    done[key] = transform_style(image, shape, variant, self.match)
            images = [
                done[id(self.pictures[variant.number].image), variant.scale, variant.rotation]
                for variant in self.variants
            ]
            # The styles of a huge picture are not kept: they are needed once.
            is_large = sum(image.numel() for image in images) > MOST_KEPT_VALUES
            if is_large:
                return images
            self._resized = shape, images
        return self._resized[1]

    def image_weights(self, shape: Shape, frame: int = 0) -> list[Tensor | None]:
        """Returns how much each of :attr:`sources` counts at each pixel of the image.

        The shares of a pixel sum to 1, or to less where `rest: content` keeps the content. They are those of
        :func:`nst_lightning.functional.shares.share_pixels`, for the masks and weights of the styles.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 1, height, width)`` in [0, 1] for each source, or None for each if no style has a mask.
        """
        return [None] * len(self.sources) if self._placement is None else [*self._placement.shares(shape, frame)]

    def regions(self, shape: Shape) -> list[Tensor | None]:
        """Returns which part of each of :attr:`variants` is used.

        Args:
            shape: height and width of the image in px.

        Returns:
            ``(1, 1, any, any)`` in [0, 1] for each variant, of the size in :meth:`resize`, or None for all of it.
        """
        if self._resized_regions[0] != shape:
            regions = []
            for variant in self.variants:
                region, picture = self._regions[variant.number], self.pictures[variant.number]
                original = picture.image.shape[-2], picture.image.shape[-1]
                regions.append(
                    None if region is None else transform_style(region, shape, variant, self.match, original)
                )
            self._resized_regions = shape, regions
        return self._resized_regions[1]

    def color_weights(self, shape: Shape) -> list[Tensor | None]:
        """Returns which pixels of :meth:`resize` count for the colors: opaque ones in the used part; None for all."""
        weights = []
        for variant, region in zip(self.variants, self.regions(shape), strict=True):
            alpha = self.pictures[variant.number].alpha
            opacity = None if alpha is None else transform_style(alpha, shape, variant, self.match)
            weights.append(opacity if region is None else region if opacity is None else opacity * region)
        return weights

    def color_regions(self, shape: Shape, frame: int = 0) -> list[ColorRegion]:
        """Lists the parts of an image with colors of their own; see :meth:`image_weights` for the arguments."""
        return list_regions(self.colors, self.blend_weights, self.image_weights(shape, frame))

    def measure_colors(
        self,
        shape: Shape,
        palette: Palette,
        images: Sequence[Tensor] | None = None,
        numbers: Collection[int] | None = None,
    ) -> StyleColors:
        """Measures the blended colors of the styles, within their regions, for an image.

        Args:
            shape: height and width of the image in px.
            palette: measures the colors.
            images: recolored pictures of :attr:`variants`; by default those of :meth:`resize`.
            numbers: numbers of the styles that count; all by default.
        """
        counts = [numbers is None or variant.number in numbers for variant in self.variants]
        weights = [variant.weight * is_counted for variant, is_counted in zip(self.variants, counts, strict=True)]
        shares = [weight / sum(weights) for weight in weights]
        return palette.measure_styles(images or self.resize(shape), self.color_weights(shape), shares)


def _normalize(weights: Sequence[float] | None, sources: Sequence[StyleSource]) -> list[float]:
    """Scales the weights of the styles so that they sum to 1."""
    own = [source.weight for source in sources]
    if weights is None:
        if own and sum(own) <= 0:
            raise InputError("Expected a style with a `weight` over 0, but all are 0: raise one of them.")
        return [weight / sum(own) for weight in own]
    if any(weight != 1 for weight in own):
        raise InputError(
            "Expected weights in `style_weights` or in the styles themselves, but got both: remove `style_weights`."
        )
    return _scale_to_one(weights, len(sources))


def _scale_to_one(weights: Sequence[float], count: int) -> list[float]:
    """Scales the weights of a number of styles so that they sum to 1."""
    if len(weights) != count or not weights or min(weights) < 0 or sum(weights) <= 0:
        raise InputError(
            f"Expected `style_weights` to have a value of 0 or more for each of the {count} styles, but got {weights}."
        )
    return [weight / sum(weights) for weight in weights]
