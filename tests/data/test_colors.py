import re
from typing import Any

import pytest
import torch

from nst_lightning.data.colors import ColorMode, Colors, list_regions, resolve_colors
from nst_lightning.errors import InputError
from tests.helpers import random_image

STYLE, MATCH, CONTENT = Colors(), Colors("match"), Colors("content", 0.5)
MASK = random_image(6, 8)[:, :1]


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), "much", True])
def test_wrong_strength_is_rejected(strength: Any) -> None:
    with pytest.raises(InputError, match=rf"Expected `color_strength` to be from 0 to 1, but got {strength!r}"):
        Colors("match", strength)


def test_unknown_mode_is_rejected() -> None:
    message = "Expected `colors` to be style, content, luminance, match, but got 'gray'"
    with pytest.raises(InputError, match=message):
        Colors("gray")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["style", "content", "luminance", "match"])
def test_strengths_of_other_modes_are_0(mode: ColorMode) -> None:
    colors = Colors(mode, 0.36)
    strengths = [colors.recoloring_strength, colors.chroma_strength, colors.match_strength]
    assert strengths == [0.36 * (mode == name) for name in ("content", "luminance", "match")]
    # Half of the chroma is lost before the run, half after it.
    assert colors.chroma_factor == pytest.approx(0.8 if mode == "luminance" else 1)


def test_styles_without_own_colors_have_those_of_the_run() -> None:
    own: list[tuple[ColorMode | None, float | None]] = [(None, None), ("content", None), (None, 0.2), ("style", None)]
    actual = resolve_colors(own, "match", 0.5)
    assert actual == [Colors("match", 0.5), Colors("content", 0.5), Colors("match", 0.2), Colors("style", 0.5)]


@pytest.mark.parametrize(
    ("own", "strength", "message"),
    [
        ([(None, None)], 0.5, "but got 0.5 with `colors: style`"),
        ([], 0.5, "but got 0.5 with `colors: style`"),
        ([("match", None), (None, 0.5)], 1.0, "its `colors` is style: set `colors`"),
    ],
)
def test_strength_without_effect_is_rejected(own: Any, strength: float, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        resolve_colors(own, "style", strength)


def test_styles_of_equal_colors_are_one_region() -> None:
    (region,) = list_regions([MATCH, MATCH, CONTENT], [0.5, 0.5, 0], [None, None, None])
    assert region == (MATCH, [0, 1], None)


def test_styles_of_different_colors_share_every_pixel() -> None:
    regions = list_regions([MATCH, CONTENT, MATCH], [0.2, 0.5, 0.3], [None, None, None])
    assert [(region.colors, region.styles) for region in regions] == [(MATCH, [0, 2]), (CONTENT, [1])]
    for region in regions:
        torch.testing.assert_close(region.share, torch.full((1, 1, 1, 1), 0.5))


def test_styles_with_a_place_of_their_own_are_regions_of_their_own() -> None:
    regions = list_regions([MATCH, MATCH, STYLE], [0.5, 0.25, 0.25], [MASK / 2, (1 - MASK) / 2, MASK * 0 + 0.5])
    assert [(region.colors, region.styles) for region in regions] == [(MATCH, [0]), (MATCH, [1]), (STYLE, [2])]
    shares = torch.cat([region.share for region in regions if region.share is not None])
    torch.testing.assert_close(shares, torch.cat([MASK / 2, (1 - MASK) / 2, MASK * 0 + 0.5]))


def test_what_no_style_covers_has_no_share() -> None:
    mask = MASK.clone()
    mask[..., :3, :] = 0
    (region,) = list_regions([MATCH], [1.0], [mask])
    torch.testing.assert_close(region.share, mask)
