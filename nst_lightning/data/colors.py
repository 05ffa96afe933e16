"""Whose colors a result has: the options `colors` and `color_strength` of a run and of its styles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from nst_lightning.errors import InputError

# The pictures whose colors a result can have; see `data.colors`.
ColorMode = Literal["style", "content", "luminance", "match"]


@dataclass(frozen=True)
class Colors:
    """Whose colors the result has where a style is painted.

    Args:
        mode: `style`: those of the painting, as the losses transfer them. `content`: the styles are recolored before,
            by the linear map to the colors of the content. `luminance`: the losses compare lightness, and the result
            has the chroma of the content. `match`: start and result are matched to the colors of the styles.
        strength: from 0, which is `style`, to 1.
    """

    mode: ColorMode = "style"
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_color_mode(self.mode)
        check_color_strength(self.strength)

    @property
    def needs_content(self) -> bool:
        """Whether the colors are those of the content."""
        return self.mode in ("content", "luminance")

    @property
    def match_strength(self) -> float:
        """How far start and result are matched to the styles."""
        return self.strength if self.mode == "match" else 0.0

    @property
    def recoloring_strength(self) -> float:
        """How far the styles are recolored."""
        return self.strength if self.mode == "content" else 0.0

    @property
    def chroma_strength(self) -> float:
        """How much chroma of the content the result gets."""
        return self.strength if self.mode == "luminance" else 0.0

    @property
    def chroma_factor(self) -> float:
        """Factor on the chroma of content and styles before the run, and again on that of its result.

        Both together leave a share of ``1 - strength``. At a strength of 1 nothing is left of the image's own chroma,
        which the losses do not keep at exactly 0.
        """
        return float((1 - self.chroma_strength) ** 0.5)


def check_color_mode(mode: object) -> None:
    """Checks the option `colors`.

    Raises:
        InputError: there is no such mode.
    """
    if mode not in get_args(ColorMode):
        raise InputError(f"Expected `colors` to be {', '.join(get_args(ColorMode))}, but got {mode!r}.")


def check_color_strength(strength: object) -> None:
    """Checks the option `color_strength`.

    Raises:
        InputError: it is not a number from 0 to 1.
    """
    is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not is_number or not 0 <= strength <= 1:  # type: ignore[operator]
        raise InputError(f"Expected `color_strength` to be from 0 to 1, but got {strength!r}.")


def resolve_colors(
    own: Sequence[tuple[ColorMode | None, float | None]], mode: ColorMode, strength: float
) -> list[Colors]:
    """Combines the options of each style with those of the run.

    Args:
        own: `colors` and `color_strength` of each style; None for those of the run.
        mode: `data.colors`.
        strength: `data.color_strength`.

    Raises:
        InputError: a value cannot be used, or a strength has no effect because the mode is `style`.
    """
    default = Colors(mode, strength)
    colors = [Colors(m or mode, strength if s is None else s) for m, s in own]
    if strength != 1 and all(c.mode == "style" for c in (default, *colors)):
        raise InputError(
            f"Expected `color_strength` together with `colors` content, luminance or match, but got {strength} with "
            "`colors: style`: set --data.colors."
        )
    if any(s is not None and c.mode == "style" for (_, s), c in zip(own, colors, strict=True)):
        raise InputError(
            "Expected `color_strength` of a style together with `colors` content, luminance or match, but its `colors` "
            "is style: set `colors`."
        )
    return colors


class ColorRegion(NamedTuple):
    """Styles that are painted in the same place with the same colors.

    Attributes:
        colors: whose colors the result has there.
        styles: numbers of the styles, ascending.
        share: of each pixel, ``(1, 1, height, width)`` in [0, 1]; None for 1 everywhere.
    """

    colors: Colors
    styles: list[int]
    share: Tensor | None


def list_regions(
    colors: Sequence[Colors], blend_weights: Sequence[float], image_weights: Sequence[Tensor | None]
) -> list[ColorRegion]:
    """Divides an image into regions: one for each style with a place of its own, and one for each color mode else.

    Args:
        colors: of each style.
        blend_weights: of each style, 1 in sum; styles with a weight of 0 have no region.
        image_weights: share of each style at each pixel, ``(1, 1, height, width)`` in [0, 1], at most 1 in sum; or None
            for each if the styles are blended equally everywhere.

    Returns:
        The regions. Their shares sum to at most 1; the rest of a pixel belongs to no style.
    """
    used = [number for number, weight in enumerate(blend_weights) if weight > 0]
    shares = {number: share for number, share in enumerate(image_weights) if share is not None and number in used}
    if shares:
        return [ColorRegion(colors[number], [number], share) for number, share in shares.items()]
    groups: dict[Colors, list[int]] = {}
    for number in used:
        groups.setdefault(colors[number], []).append(number)
    if len(groups) == 1:
        return [ColorRegion(*group, share=None) for group in groups.items()]
    return [
        ColorRegion(mode, numbers, torch.full((1, 1, 1, 1), sum(blend_weights[number] for number in numbers)))
        for mode, numbers in groups.items()
    ]
