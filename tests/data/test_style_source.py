import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.data.plan import Plan
from nst_lightning.data.style_set import StyleSet
from nst_lightning.data.style_source import (
    StyleMatch,
    StyleSource,
    StyleVariant,
    fit_style,
    list_variants,
    parse_styles,
    read_picture,
    transform_style,
)
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image, to_pil
from nst_lightning.losses import GramLoss
from nst_lightning.training.objective import Objective
from tests.helpers import TinyBackbone, random_image, smooth_image, write_pair


def prepare(style: Any, size: int = 32, **options: Any) -> tuple[TransferData, list[Tensor], list[float]]:
    data = TransferData.from_pictures(Picture(smooth_image(24, 32)), style, Plan(size=size), **options)
    pictures = data.pictures(data.stages[0])
    return data, pictures.styles, pictures.blend_weights


def test_styles_are_files_mappings_or_lists_of_both() -> None:
    glass = {"file": "sample:glass", "scale": 0.8, "weight": 2, "rotation": [0, 90]}
    expected = StyleSource("sample:glass", 2, 0.8, [0, 90])
    assert parse_styles(None) == parse_styles([]) == []
    assert parse_styles("a.jpg") == [StyleSource("a.jpg")]
    assert parse_styles(glass) == [expected]
    assert parse_styles(["a.jpg", glass, expected]) == [StyleSource("a.jpg"), expected, expected]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"fil": "a.jpg"}, "did you mean 'file'"),
        ({"scale": 2}, "Expected `file` in each style"),
        ({"file": None}, "`file` of a style"),
        (7, "`file` of a style"),
        ({"file": "a.jpg", "rotation": 45}, "`rotation` to be a multiple of 90 degrees, or a list .* but got 45"),
        ({"file": "a.jpg", "rotation": []}, "`rotation` to be a multiple of 90"),
        ({"file": "a.jpg", "rotation": "left"}, "`rotation` to be a multiple of 90"),
        ({"file": "a.jpg", "scale": 0}, "`scale` to be positive"),
        ({"file": "a.jpg", "scale": []}, "`scale` to be positive"),
        ({"file": "a.jpg", "scale": [1, -1]}, "`scale` to be positive"),
        ({"file": "a.jpg", "scale": "1"}, "`scale` to be positive"),
        ({"file": "a.jpg", "weight": -1}, "`weight` of a style"),
        ({"file": "a.jpg", "weight": True}, "`weight` of a style"),
    ],
)
def test_unusable_styles_are_rejected(declared: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_styles([declared])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_scale": []}, "`style_scale` to be positive"),
        ({"style_scale": [1.0, 0.0]}, "`style_scale` to be positive"),
        ({"style_scale": float("inf")}, "`style_scale` to be positive"),
        ({"style_rotation": 30}, "`style_rotation` to be a multiple of 90"),
        ({"style_rotation": []}, "`style_rotation` to be a multiple of 90"),
        ({"style_match": "width"}, "`style_match` to be long or short or area"),
        ({"style": [{"file": "a.jpg", "weight": 2}], "style_weights": [1.0]}, "but got both: remove `style_weights`"),
        ({"style": [{"file": "a.jpg", "weight": 0}]}, "a `weight` over 0"),
    ],
)
def test_unusable_options_of_styles_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransferData(**options)


def test_picture_is_read_from_each_kind_of_source(tmp_path: Path) -> None:
    path, _ = write_pair(tmp_path)
    expected = read_image(path).image
    sources: list[Any] = [path, str(path), to_pil(expected), Picture(expected)]
    for source in sources:
        assert torch.equal(read_picture(source).image, expected)
        assert torch.equal(StyleSource(source).read().image, expected)
    assert isinstance(path, os.PathLike)


def test_variants_share_the_weight_of_their_style() -> None:
    styles = [StyleSource("a", scale=[0.5, 1]), StyleSource("b", rotation=[0, 90, 180])]
    variants = list_variants(styles, [0.5, 0.75], [2.0], [270])
    assert variants == [
        StyleVariant(0, 0.5, 270, 0.25),
        StyleVariant(0, 1, 270, 0.25),
        *(StyleVariant(1, 2.0, rotation, 0.25) for rotation in (0, 90, 180)),
    ]


@pytest.mark.parametrize(
    ("match", "expected"), [("long", (60, 30)), ("short", (90, 45)), ("area", (73, 37))], ids=["long", "short", "area"]
)
def test_style_is_fitted_to_the_image(match: StyleMatch, expected: tuple[int, int]) -> None:
    actual = fit_style((100, 50), (30, 40), 1.5, match)
    assert actual == expected
    equal = {"long": (max(actual), 1.5 * 40), "short": (min(actual), 1.5 * 30), "area": (60 * 45 / 2700, 1.0)}
    assert equal[match][0] == equal[match][1]
    # A picture of the image's shape is as large as the image, whatever is matched.
    assert fit_style((300, 400), (30, 40), 1.0, match) == (30, 40)
    assert fit_style((100, 1), (30, 40), 0.01, match)[1] == 1, "at least one pixel"


def test_area_of_a_matched_style_is_that_of_the_image() -> None:
    for style in ((100, 50), (33, 470), (640, 480)):
        height, width = fit_style(style, (300, 400), 2.0, "area")
        assert height * width == pytest.approx(4 * 300 * 400, rel=0.02)
        assert height / width == pytest.approx(style[0] / style[1], rel=0.02)


def test_rotation_is_counterclockwise() -> None:
    image = random_image(2, 3)
    for rotation, turns in ((0, 0), (90, 1), (180, 2), (270, 3), (360, 0), (-90, 3)):
        actual = transform_style(image, (3, 3), StyleVariant(0, 1.0, rotation, 1.0), "long")
        expected = image
        for _ in range(turns):
            # A quarter turn to the left: the last column becomes the first row.
            expected = torch.stack([expected[..., column] for column in reversed(range(expected.shape[-1]))], dim=-2)
        assert torch.equal(actual, expected)
        assert actual.is_contiguous()


def test_sizes_and_rotations_of_all_styles() -> None:
    _, styles, weights = prepare([Picture(smooth_image(40, 20))], style_scale=[0.5, 1.0, 2.0], style_rotation=[0, 90])
    shapes = [tuple(style.shape[-2:]) for style in styles]
    assert shapes == [(16, 8), (8, 16), (32, 16), (16, 32), (64, 32), (32, 64)]
    assert weights == pytest.approx([1 / 6] * 6)


def test_options_of_a_style_precede_those_of_all_styles() -> None:
    pictures = [Picture(smooth_image(40, 20, seed)) for seed in (1, 2)]
    sources = [StyleSource(pictures[0], 3, 2.0), StyleSource(pictures[1], rotation=90)]
    data, styles, weights = prepare(sources, style_scale=0.5, style_match="short")
    assert [tuple(style.shape[-2:]) for style in styles] == [(96, 48), (12, 24)]
    assert weights == [0.75, 0.25]
    assert data.shape(data.stages[0]) == (24, 32), "the image keeps its size"


def test_default_options_leave_styles_and_weights_as_they_were() -> None:
    picture = Picture(random_image(40, 20))
    _, styles, weights = prepare([picture, StyleSource(picture)], style_weights=[1.0, 3.0])
    assert weights == [0.25, 0.75]
    expected = StyleSet([StyleSource(picture)]).resize((24, 32))[0]
    assert all(torch.equal(style, expected) for style in styles)


def test_target_of_several_rotations_is_the_average_of_their_targets() -> None:
    layers = ["conv_1", "conv_2", "conv_3"]
    picture = Picture(random_image(32, 24))

    def find_targets(*sources: StyleSource) -> dict[str, Tensor]:
        data, _, _ = prepare(sources)
        loss = GramLoss(layers)
        Objective(TinyBackbone(), {"style": loss}).set_targets(data.pictures(data.stages[0]))
        return {layer: loss.target(layer) for layer in layers}

    single = [find_targets(StyleSource(picture, rotation=rotation)) for rotation in (0, 90)]
    both = find_targets(StyleSource(picture, rotation=[0, 90]))
    for layer in layers:
        torch.testing.assert_close(both[layer], (single[0][layer] + single[1][layer]) / 2)
        assert not torch.equal(single[0][layer], single[1][layer])


def test_style_that_is_too_small_for_a_layer_is_refused() -> None:
    data, _, _ = prepare([StyleSource(Picture(random_image(32, 32)), scale=[1.0, 0.03])])
    objective = Objective(TinyBackbone(), {"style": GramLoss(["conv_3"])})
    with pytest.raises(InputError, match="Expected the style to have at least 2 px each way"):
        objective.check(data.pictures(data.stages[0]))


def test_first_style_gives_the_image_its_proportions_whatever_its_rotation() -> None:
    style = StyleSource(Picture(random_image(40, 20)), rotation=90, scale=0.5)
    data = TransferData.from_pictures(None, [style], Plan(size=32))
    assert data.shape(data.stages[0]) == (32, 16)
