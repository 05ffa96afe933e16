"""The palette: how far the start and the result of a run take over the colors of the styles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.functional.color import (
    ColorMoments,
    ColorSpace,
    match_colors,
    measure_moments,
    srgb_to_oklab,
    to_space,
)


class StyleColors(NamedTuple):
    """The colors of one or several styles.

    Attributes:
        moments: mean and covariance, blended.
        low: least value of each channel in OkLab over all styles, ``(3,)``.
        high: greatest value of each channel.
    """

    moments: ColorMoments
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Palette:
    """How far colors are matched to those of the styles: from 0, not at all, to 1, equal mean and covariance.

    Args:
        start: strength for the content that the image starts from. The content that the losses compare with stays as it
            is. Removes the tints of the photograph that would remain in flat areas such as skies.
        result: strength for the result: the files, the previews and the film. The image that is optimized, and from
            which a run resumes, stays as it is.
        space: color space in which the colors are matched: `oklab`, whose distances are those that are seen, or `rgb`.
    """

    start: float = 0.0
    result: float = 0.0
    space: ColorSpace = "oklab"

    def __post_init__(self) -> None:
        for name, strength in (("start", self.start), ("result", self.result)):
            if not 0 <= strength <= 1:
                raise InputError(f"Expected `palette.{name}` to be from 0 to 1, but got {strength}.")
        if self.space not in ("rgb", "oklab"):
            raise InputError(f"Expected `palette.space` to be rgb or oklab, but got {self.space!r}.")

    @property
    def is_used(self) -> bool:
        """Whether any colors are matched."""
        return self.start > 0 or self.result > 0

    def measure(self, image: Tensor, opacity: Tensor | None = None) -> ColorMoments:
        """Measures the moments of a picture's colors.

        Args:
            image: ``(1, 3, height, width)`` in [0, 1].
            opacity: ``(1, 1, height, width)`` in [0, 1]; transparent pixels do not count.
        """
        # On the CPU, because some accelerators have no float64.
        return measure_moments(to_space(image.detach().cpu().float(), self.space), opacity)

    def measure_styles(
        self, styles: Sequence[Tensor], opacities: Sequence[Tensor | None], weights: Sequence[float]
    ) -> StyleColors:
        """Measures the colors of the styles and blends their moments.

        Args:
            styles: ``(1, 3, any, any)`` each.
            opacities: of each style, or None.
            weights: blend weight of each style; they sum to 1. Styles with a weight of 0 do not count.
        """
        used = [part for part in zip(styles, opacities, weights, strict=True) if part[2] > 0]
        moments = [self.measure(style, opacity) for style, opacity, _ in used]
        shares = [weight for _, _, weight in used]
        ranges = [_measure_range(style, opacity) for style, opacity, _ in used]
        return StyleColors(
            ColorMoments(
                torch.stack([share * m.mean for share, m in zip(shares, moments, strict=True)]).sum(0),
                torch.stack([share * m.covariance for share, m in zip(shares, moments, strict=True)]).sum(0),
            ),
            torch.stack([low for low, _ in ranges]).amin(0),
            torch.stack([high for _, high in ranges]).amax(0),
        )

    def match(self, image: Tensor, source: ColorMoments, target: StyleColors, strength: float) -> Tensor:
        """Matches the colors of an image to those of the styles; see :func:`match_colors`.

        Args:
            image: ``(1, 3, height, width)``, clipped to [0, 1].
            source: moments that become those of the styles at a strength of 1: the image's, or in a film those of the
                first frame of the shot.
            target: colors of the styles.
            strength: from 0 to 1.
        """
        limits = target.low, target.high
        return match_colors(image.float().clamp(0, 1), source, target.moments, limits, strength, self.space)


def _measure_range(image: Tensor, opacity: Tensor | None) -> tuple[Tensor, Tensor]:
    """Measures the least and the greatest value of each channel in OkLab, ``(3,)`` each, over opaque pixels."""
    colors = srgb_to_oklab(image).flatten(2)[0]
    opaque = None if opacity is None else opacity.flatten() >= 0.5
    if opaque is not None and opaque.any():
        colors = colors[:, opaque]
    return colors.amin(1), colors.amax(1)
