"""The styles of a run: their pictures, blend weights and colors at the size of a stage."""

from collections.abc import Collection, Sequence
from typing import get_args

from torch import Tensor

from nst_lightning.data.colors import ColorMode, ColorRegion, list_regions, resolve_colors
from nst_lightning.data.palette import Palette, StyleColors
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
        scales, rotations = check_scales("style_scale", scale), check_rotations("style_rotation", rotation)
        self.variants: list[StyleVariant] = list_variants(self.sources, self.blend_weights, scales, rotations)
        self._pictures: list[Picture] = []
        self._resized: tuple[Shape, list[Tensor]] = (0, 0), []

    @property
    def pictures(self) -> list[Picture]:
        """The picture of each source at its original size; the files are read once.

        Raises:
            InputError: a file cannot be read.
        """
        if not self._pictures:
            self._pictures = [source.read() for source in self.sources]
        return self._pictures

    def resize(self, shape: Shape) -> list[Tensor]:
        """Resizes and rotates the styles for an image.

        Args:
            shape: height and width of the image in px.

        Returns:
            ``(1, 3, any, any)`` for each of :attr:`variants`.
        """
        # Consecutive frames of a film have the same size.
        if self._resized[0] != shape:
            images = [
                transform_style(self.pictures[variant.number].image, shape, variant, self.match)
                for variant in self.variants
            ]
            self._resized = shape, images
        return self._resized[1]

    def image_weights(self, shape: Shape, frame: int = 0) -> list[Tensor | None]:
        """Returns how much each of :attr:`sources` counts at each pixel of the image.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 1, height, width)`` in [0, 1] for each source, or None for 1 everywhere.
        """
        return [None] * len(self.sources)

    def resize_opacities(self, shape: Shape) -> list[Tensor | None]:
        """Resizes and rotates the opacities of the styles; see :meth:`resize`. None for opaque styles."""
        alphas = [self.pictures[variant.number].alpha for variant in self.variants]
        return [
            None if alpha is None else transform_style(alpha, shape, variant, self.match)
            for alpha, variant in zip(alphas, self.variants, strict=True)
        ]

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
        """Measures the blended colors of the styles for an image.

        Args:
            shape: height and width of the image in px.
            palette: measures the colors.
            images: recolored pictures of :attr:`variants`; by default those of :meth:`resize`.
            numbers: numbers of the styles that count; all by default.
        """
        counts = [numbers is None or variant.number in numbers for variant in self.variants]
        weights = [variant.weight * is_counted for variant, is_counted in zip(self.variants, counts, strict=True)]
        shares = [weight / sum(weights) for weight in weights]
        return palette.measure_styles(images or self.resize(shape), self.resize_opacities(shape), shares)


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
    count = len(sources)
    if len(weights) != count or not weights or min(weights) < 0 or sum(weights) <= 0:
        raise InputError(
            f"Expected `style_weights` to have a value of 0 or more for each of the {count} styles, but got {weights}."
        )
    return [weight / sum(weights) for weight in weights]
