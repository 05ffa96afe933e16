from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nst_lightning.data.palette import Palette
from nst_lightning.data.plan import Plan
from nst_lightning.data.style_source import StyleSource
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, write_image
from nst_lightning.images.resize import resize
from tests.helpers import random_image, smooth_image

SHAPE = (24, 32)
CONTENT = Picture(smooth_image(*SHAPE, seed=1))
STYLE = Picture(random_image(20, 16, seed=2))
LEFT = torch.zeros(1, 1, *SHAPE).index_fill_(3, torch.arange(16), 1)
RIGHT = 1 - LEFT
ONES = torch.ones(1, 1, *SHAPE)


def place(*styles: Any, content: Picture | None = CONTENT, **options: Any) -> TransferData:
    """Creates the data of a run; a style is a mapping without its file."""
    sources = [
        style if isinstance(style, StyleSource) else StyleSource(**({"file": STYLE} | style)) for style in styles
    ]
    return TransferData.from_pictures(content, sources, Plan(size=32), **options)


def weigh(data: TransferData, shape: tuple[int, int] = SHAPE) -> list[Tensor]:
    weights = data.styles.image_weights(shape)
    assert all(weight is not None for weight in weights)
    return [weight for weight in weights if weight is not None]


def assert_weights(data: TransferData, *expected: Tensor) -> None:
    actual = weigh(data)
    assert len(actual) == len(expected)
    for given, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(given, wanted)


def draw_map(left: Any, right: Any, shape: tuple[int, int] = SHAPE) -> Image.Image:
    picture = Image.new("RGB", shape[::-1], right)
    picture.paste(left, (0, 0, shape[1] // 2, shape[0]))
    return picture


def test_styles_without_masks_have_no_weights() -> None:
    data = place({}, {"weight": 2.0})
    assert data.styles.image_weights(SHAPE) == [None, None]
    assert data.styles.regions(SHAPE) == [None, None]
    assert data.hold_map(SHAPE) is None
    assert data.strength_map(SHAPE) is None
    assert not data.is_masked


@pytest.mark.parametrize("weights", [(1.0, 1.0), (5.0, 0.5)])
def test_hard_masks_are_exact(weights: tuple[float, float]) -> None:
    first, second = weights
    data = place({"mask": LEFT, "weight": first}, {"mask": RIGHT, "weight": second})
    assert_weights(data, LEFT, RIGHT)
    assert data.is_masked
    assert data.styles.blend_weights == pytest.approx([first / (first + second), second / (first + second)])


def test_inverted_mask_is_the_complement() -> None:
    assert_weights(place({"mask": LEFT}, {"mask": LEFT, "invert": True}), LEFT, RIGHT)


def test_overlapping_masks_share_a_pixel_by_weight() -> None:
    data = place({"mask": LEFT, "weight": 3.0}, {})
    assert_weights(data, 0.75 * LEFT, ONES - 0.75 * LEFT)


def test_soft_masks_sum_to_one() -> None:
    ramp = torch.linspace(0.02, 0.9, 32).expand(1, 1, *SHAPE)
    data = place({"mask": ramp}, {"mask": 1 - ramp}, {"mask": 0.5 * ramp, "weight": 2.0})
    for shape in (SHAPE, (12, 16), (7, 9), (48, 64)):
        assert all(weight.shape == (1, 1, *shape) for weight in weigh(data, shape))
        torch.testing.assert_close(torch.stack(weigh(data, shape)).sum(0), torch.ones(1, 1, *shape))


def test_rest_content_keeps_what_no_mask_covers() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 1, *SHAPE)
    assert_weights(place({"mask": LEFT}, rest="content"), LEFT)
    assert_weights(place({"mask": ramp}, {"mask": ramp, "weight": 3.0}, rest="content"), 0.25 * ramp, 0.75 * ramp)


@pytest.mark.parametrize("rest", [0, 1, 2])
def test_rest_goes_to_the_style_with_a_number(rest: int) -> None:
    masks = [torch.zeros(1, 1, *SHAPE).index_fill_(3, torch.arange(8 * n, 8 * n + 8), 1) for n in range(3)]
    expected = [mask.clone() for mask in masks]
    expected[rest][..., 24:] = 1
    assert_weights(place(*[{"mask": mask} for mask in masks], rest=rest), *expected)


def test_style_without_mask_that_is_the_rest_goes_only_there() -> None:
    assert_weights(place({}, {"mask": LEFT}, rest=0), RIGHT, LEFT)
    assert_weights(place({"mask": LEFT}, {}, {}, rest=1), LEFT / 2, 0 * ONES, ONES - LEFT / 2)


def test_label_masks_are_resized_after_their_separation() -> None:
    labels = np.array([[0, 1, 2, 1]] * 3, np.uint8).repeat(8, 0).repeat(8, 1)
    data = place(*[{"mask": labels == label} for label in range(3)])
    for label, weight in enumerate(weigh(data, (3, 4))):
        expected = resize(torch.from_numpy(labels == label)[None, None].float(), 3, 4)
        torch.testing.assert_close(weight, expected, atol=0.03, rtol=0)


def test_region_has_the_size_and_direction_of_each_variant() -> None:
    region = torch.zeros(1, 1, 10, 8).index_fill_(2, torch.arange(3), 1)
    own = {"region": region, "scale": [0.5, 1.0], "rotation": [0, 90]}
    data = place({}, own, style_scale=[1.0, 0.25])
    for shape in (SHAPE, (15, 20)):
        regions, images = data.styles.regions(shape), data.styles.resize(shape)
        assert regions[:2] == [None, None]
        for given, image, variant in zip(regions[2:], images[2:], data.styles.variants[2:], strict=True):
            assert given is not None
            assert given.shape[-2:] == image.shape[-2:]
            turned = torch.rot90(given, -variant.rotation // 90 % 4, (-2, -1))
            assert float(turned[..., 0, :].min()) > 0.9
            assert float(turned[..., -1, :].max()) < 0.1
            assert float(given.mean()) == pytest.approx(0.3, abs=0.05)
    assert data.styles.image_weights(SHAPE) == [None, None]
    assert data.is_masked


def test_alpha_is_the_opacity_of_style_and_content() -> None:
    content = Picture(CONTENT.image, LEFT)
    opacity = torch.zeros(1, 1, 20, 16).index_fill_(2, torch.arange(10), 1)
    data = place(
        {"file": Picture(STYLE.image, opacity), "mask": "alpha", "region": "alpha"}, rest="content", content=content
    )
    assert_weights(data, LEFT)
    (region,) = data.styles.regions((20, 16))
    assert region is not None
    assert torch.equal(region, opacity)


def test_areas_of_one_color_belong_together() -> None:
    content_map = draw_map("red", "blue")
    first, second = draw_map("red", "red", (20, 16)), draw_map("blue", "blue", (40, 32))
    assert_weights(place({"map": first}, {"map": second, "weight": 9.0}, content_map=content_map), LEFT, RIGHT)


def test_style_with_several_colors_has_a_part_for_each() -> None:
    content_map, style_map = draw_map("red", "blue"), draw_map("blue", "red", (20, 16))
    data = place({"weight": 3.0}, {"map": style_map, "scale": [0.5, 1.0]}, content_map=content_map)
    styles = data.styles
    assert styles.blend_weights == [0.75, 0.125, 0.125]
    assert [variant.number for variant in styles.variants] == [0, 1, 1, 2, 2]
    assert sum(variant.weight for variant in styles.variants) == pytest.approx(1)
    assert [source.map is style_map for source in styles.sources] == [False, True, True]
    # In order of the colors: blue, then red. The parts have the weight of their style where they apply.
    assert_weights(data, 0.75 * ONES, 0.25 * RIGHT, 0.25 * LEFT)
    regions, images = styles.regions((20, 16)), styles.resize((20, 16))
    assert regions[0] is None
    blue, red = regions[2], regions[4]
    assert blue is not None
    assert red is not None
    assert torch.equal(blue, torch.zeros(1, 1, 20, 16).index_fill_(3, torch.arange(8), 1))
    assert torch.equal(red, 1 - blue)
    assert images[2] is images[4], "the parts share the picture"


def test_color_without_style_may_be_the_rest() -> None:
    content_map, style_map = draw_map("red", "blue"), draw_map("red", "red", (20, 16))
    assert_weights(place({"map": style_map}, content_map=content_map, rest="content"), LEFT)
    assert_weights(place({"map": style_map}, {}, content_map=content_map, rest=1), LEFT, RIGHT)
    assert_weights(place({"map": style_map}, {}, content_map=content_map, rest=0), LEFT / 2, ONES - LEFT / 2)
    both = draw_map("red", "blue", (20, 16))
    with pytest.raises(InputError, match="a style with one color in its `map`, but 0 has several"):
        place({"map": both}, {"mask": LEFT}, content_map=content_map, rest=0)


def test_palettes_that_repeat_a_color_are_compared_by_index() -> None:
    content_map, style_map = LEFT[0, 0].byte().numpy(), np.zeros((20, 16), np.uint8)
    style_map[:10] = 1
    black = [0, 0, 0] * 256
    pictures = [Image.fromarray(values) for values in (content_map, style_map)]
    for picture in pictures:
        picture.putpalette(black)
    data = place({"map": pictures[1]}, content_map=pictures[0])
    assert_weights(data, RIGHT, LEFT)


def test_colors_are_those_of_the_region() -> None:
    image = torch.zeros(1, 3, 20, 16)
    image[..., :8, :] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    region = torch.zeros(1, 1, 20, 16).index_fill_(2, torch.arange(8), 1)
    palette = Palette(result=1.0)
    part = place({"file": Picture(image), "region": region}).styles.measure_colors((20, 16), palette)
    whole = place({"file": Picture(image[..., :8, :].contiguous())}).styles.measure_colors((20, 16), palette)
    torch.testing.assert_close(part.moments.mean, whole.moments.mean)


def test_hold_is_a_factor_and_strength_a_share() -> None:
    data = place({}, hold=LEFT, hold_weight=5, style_strength=0.5 * RIGHT)
    hold, strength = data.hold_map(SHAPE), data.strength_map(SHAPE)
    assert hold is not None
    assert strength is not None
    assert torch.equal(hold, 1 + 4 * LEFT)
    assert torch.equal(strength, 0.5 * RIGHT)
    assert data.is_masked
    default = place({}, hold=LEFT).hold_map((12, 16))
    assert default is not None
    assert default.shape == (1, 1, 12, 16)
    assert (float(default.min()), float(default.max())) == (1, 10)


def test_masks_of_a_texture_have_the_proportions_of_its_canvas() -> None:
    mask = torch.ones(1, 1, 20, 16)
    mask[..., :10, :] = 0
    data = place({"mask": mask}, {}, content=None)
    torch.testing.assert_close(weigh(data, (20, 16))[0], 0.5 * mask)
    with pytest.raises(InputError, match="the proportions of its picture of 16x20 px"):
        place({"mask": LEFT}, {}, content=None)


@pytest.mark.parametrize(
    ("styles", "options", "message"),
    [
        ([{"mask": ONES[..., :24]}], {}, "`mask` of style 0 to have the proportions of its picture of 32x24 px"),
        ([{}, {"region": ONES}], {}, "`region` of style 1 to have the proportions of its picture of 16x20 px"),
        ([{"mask": 0 * ONES}], {}, "`mask` of style 0 to be white where it applies, but it is empty"),
        ([{"mask": ONES, "invert": True}], {}, "`mask` of style 0 to be white where it applies, but it is empty"),
        ([{}], {"hold": 0 * ONES}, "`hold` to be white where it applies, but it is empty"),
        ([{"mask": LEFT}], {}, "50.0 % of the picture has none: let it stay as it is with --data.rest content"),
        ([{"mask": LEFT}, {"weight": 0.0}], {}, "50.0 % of the picture has none"),
        ([{"mask": LEFT}], {"rest": 1}, "`rest` to be content or a number from 0 to 0, but got 1"),
        ([{"mask": LEFT}], {"rest": -1}, "`rest` to be content or a number from 0 to 0, but got -1"),
        ([{"mask": LEFT}], {"rest": "style"}, "`rest` to be content or a number from 0 to 0, but got 'style'"),
        ([], {"rest": 0}, "`rest` to be content or null, without styles, but got 0"),
        ([{}], {"rest": 0}, "a style with a `mask` for `rest: 0`, but all styles apply everywhere"),
        ([{"map": draw_map("red", "red")}], {}, "`content_map` for the `map` of a style"),
        ([{}], {"content_map": draw_map("red", "red")}, "a style with a `map` for `content_map`"),
        ([{}], {"hold_weight": 0.5}, "`hold_weight` to be 1 or more, but got 0.5"),
        ([{}], {"hold": 3}, "`hold` to be the file of a mask, but got 3"),
        ([{"mask": 3}], {}, "`mask` to be the file of a mask, but got 3"),
        ([{"map": "a.png", "mask": "b.png"}], {}, "`map` or `mask` and `region` in a style, but got both"),
        ([{"invert": True}], {}, "a `mask` in a style with `invert`"),
        ([{"mask": LEFT, "invert": 1}], {}, "`invert` of a style to be true or false, but got 1"),
        ([{"region": "alpha"}], {}, "the picture of `region` of style 0 to have transparent pixels"),
        (
            [{"map": draw_map("red", "red", (20, 20))}],
            {"content_map": draw_map("red", "red")},
            "`map` .* the proportions of its picture of 16x20 px",
        ),
        (
            [{"map": draw_map("red", "red", (20, 16))}],
            {"content_map": draw_map("red", "red", (20, 20))},
            "`content_map` .* the proportions of its picture of 32x24 px",
        ),
    ],
)
def test_unusable_masks_are_errors(styles: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        place(*styles, **options)


def test_content_is_required_where_it_is_kept() -> None:
    mask = ONES[..., :20, :16]
    for options, name in (({"hold": mask}, "hold"), ({"rest": "content"}, "rest: content")):
        with pytest.raises(InputError, match=f"a content for `{name}`, but got none"):
            place({"mask": mask}, content=None, **options)


def test_few_pixels_may_have_no_style() -> None:
    mask = torch.ones(1, 1, *SHAPE)
    mask[..., 3, 5] = 0
    with pytest.raises(InputError, match=r"0.1 % of the picture has none"):
        place({"mask": mask})
    large = torch.ones(1, 1, 48, 64)
    large[..., 3, 5] = 0
    data = place({"mask": large}, content=Picture(smooth_image(48, 64)))
    assert torch.equal(weigh(data, (48, 64))[0], torch.ones(1, 1, 48, 64)), "they have the blend of all styles"


def test_film_of_masks_must_cover_each_frame(empty_folder: Path) -> None:
    Path("film").mkdir()
    Path("masks").mkdir()
    for number in range(3):
        write_image(f"film/{number}.png", CONTENT.image)
        values = (LEFT if number == 2 else ONES)[0, 0] * 255
        Image.fromarray(values.byte().numpy()).save(f"masks/{number}.png")
    data = TransferData("film", {"file": "sample:glass", "mask": "masks"}, plan=Plan(size=32), flow="none")
    with pytest.raises(InputError, match=r"50.0 % of frame 2 has none"):
        data.setup("fit")


def test_other_weights_equal_those_from_the_start() -> None:
    pairs: list[list[dict[str, Any]]] = [[{}, {}], [{"mask": LEFT}, {}], [{"mask": LEFT}, {"mask": RIGHT}]]
    for masks in pairs:
        data, wanted = place(*masks), place(*masks, style_weights=[3.0, 1.0])
        before = data.styles.declared_weights
        data.use_styles(data.styles.with_weights([3.0, 1.0], data.require_source()))
        assert before == [0.5, 0.5]
        assert data.styles.declared_weights == wanted.styles.declared_weights == [0.75, 0.25]
        assert data.styles.variants == wanted.styles.variants
        if masks[0]:
            assert_weights(data, *weigh(wanted))


def test_other_weights_of_a_style_with_a_map_are_shared_by_its_parts() -> None:
    colors = (255, 0, 0), (0, 0, 255)
    areas = draw_map(*colors)
    styles = [{"map": draw_map(*colors, (20, 16))}, {"mask": ONES}]
    data = place(*styles, content_map=areas)
    wanted = place(*styles, content_map=areas, style_weights=[1.0, 3.0])
    changed = data.styles.with_weights([1.0, 3.0], data.require_source())
    assert changed.declared_numbers == [0, 0, 1]
    assert changed.blend_weights == wanted.styles.blend_weights == [0.125, 0.125, 0.75]
    assert changed.declared_weights == [0.25, 0.75]


@pytest.mark.parametrize(("weights", "message"), [([1.0], "each of the 2 styles"), ([0.0, 1.0], "50.0 %")])
def test_other_weights_that_cannot_be_used_leave_the_styles(weights: list[float], message: str) -> None:
    data = place({"mask": LEFT}, {"mask": RIGHT})
    with pytest.raises(InputError, match=message):
        data.styles.with_weights(weights, data.require_source())
    assert data.styles.declared_weights == [0.5, 0.5]
    assert_weights(data, LEFT, RIGHT)
