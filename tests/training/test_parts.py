"""Objectives whose losses compare parts of an image, each with its own styles."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.losses import (
    ContentLoss,
    DisocclusionGramLoss,
    GrainAwareTotalVariationLoss,
    GramLoss,
    HistogramLoss,
    LaplacianLoss,
    Loss,
    MeanStdLoss,
    NeighborLoss,
    RelaxedEMDLoss,
    SelfSimilarityLoss,
    SlicedWassersteinLoss,
    TotalVariationLoss,
    WassersteinLoss,
)
from nst_lightning.losses.base import total
from nst_lightning.losses.regional import RegionalLoss
from nst_lightning.training.evaluation.checkpointed import evaluate_checkpointed
from nst_lightning.training.evaluation.select import select_evaluation
from nst_lightning.training.objective import Objective, divide_image
from tests.helpers import random_image, random_tensor, smooth_image

SHAPE = (32, 48)
LAYERS = ["relu1_1", "conv_2", "relu2_1"]
STYLE_LOSSES: dict[str, Callable[[], Loss]] = {
    "gram": lambda: GramLoss(LAYERS, 1e2),
    "whitened gram": lambda: GramLoss(LAYERS, whitening=0.5),
    "wasserstein": lambda: WassersteinLoss([*LAYERS, "image"]),
    "sliced": lambda: SlicedWassersteinLoss(LAYERS, points=200),
    "histogram": lambda: HistogramLoss([*LAYERS, "image"], points=200),
    "mean and deviation": lambda: MeanStdLoss(LAYERS),
    "neighbor": lambda: NeighborLoss(LAYERS),
    "neighbor per layer": lambda: NeighborLoss(LAYERS, per_layer=True),
    "relaxed emd": lambda: RelaxedEMDLoss(LAYERS, samples=100, style_samples=150),
    "palette": lambda: RelaxedEMDLoss(["image"], cost="both", samples=100, style_samples=150),
    "grain": lambda: GrainAwareTotalVariationLoss(),
    "disocclusion": lambda: DisocclusionGramLoss(LAYERS, 1e2),
}
CONTENT_LOSSES: dict[str, Callable[[], Loss]] = {
    "content": lambda: ContentLoss(LAYERS),
    "normalized content": lambda: ContentLoss(LAYERS, normalized=True),
    "laplacian": lambda: LaplacianLoss(pool=[1, 4]),
    "self-similarity": lambda: SelfSimilarityLoss(LAYERS, samples=100),
}
BACKBONES: dict[str, Callable[[], Backbone]] = {"vgg19": lambda: VGG19(weights="random"), "slim": SlimVGG19}

CONTENT = smooth_image(*SHAPE, seed=1).double()
STYLES = [random_image(30, 40, seed=2).double() * 0.5, 1 - 0.3 * random_image(36, 28, seed=3).double()]
FLAT = 0.2 * smooth_image(30, 40, seed=4).double()
IMAGE = (0.8 * CONTENT + 0.2 * random_image(*SHAPE, seed=5)).double()
ONES = torch.ones(1, 1, *SHAPE, dtype=torch.float64)


def draw_columns(start: int, stop: int, value: float = 1.0) -> Tensor:
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
    mask[..., start:stop] = value
    return mask


LEFT, RIGHT = draw_columns(0, 24), draw_columns(24, 48)


def create_pictures(shares: Tensor | None = None, count: int = 2, **options: Any) -> StagePictures:
    """Returns pictures with some of the styles, equally blended unless given."""
    given: dict[str, Any] = {"content": CONTENT, "styles": STYLES[:count], "blend_weights": [1 / count] * count}
    return StagePictures(**(given | {"shares": shares} | options))


def create_objective(losses: dict[str, Loss] | Loss, pictures: StagePictures, backbone: str = "slim") -> Objective:
    named = {"term": losses} if isinstance(losses, Loss) else losses
    objective = Objective(BACKBONES[backbone](), named).double()
    objective.set_targets(pictures)
    return objective


def evaluate(
    objective: Objective, image: Tensor = IMAGE, run: Callable[[Tensor], dict[str, dict[str, Tensor]]] | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the objective and its gradient."""
    for loss in objective.named_losses.values():
        loss.begin_evaluation(0)
    leaf = image.clone().requires_grad_()
    value = total({name: total(layers) for name, layers in (run or objective)(leaf).items()})
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def assert_same(first: Objective, second: Objective, factor: float = 1.0) -> None:
    actual, expected = evaluate(first), evaluate(second)
    assert expected[0] > 0
    torch.testing.assert_close(actual[0], factor * expected[0], rtol=1e-8, atol=0)
    torch.testing.assert_close(actual[1], factor * expected[1], rtol=1e-6, atol=float(expected[1].abs().max()) * 1e-8)


def find_regional(objective: Objective, name: str = "term") -> RegionalLoss:
    loss = objective.named_losses[name]
    assert isinstance(loss, RegionalLoss)
    return loss


# Masks of ones


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_mask_of_ones_changes_nothing(name: str, backbone: str) -> None:
    frames = {1: (torch.zeros(1, 3, *SHAPE), 1 - LEFT)}
    styles = [FLAT] if name == "grain" else STYLES[:1]
    plain = create_pictures(None, 1, styles=styles, previous=frames)
    masked = replace(plain, shares=ONES, style_regions=[torch.ones(1, 1, *styles[0].shape[-2:]).double()], hold=ONES)
    actual = create_objective(STYLE_LOSSES[name](), masked, backbone)
    find_regional(actual)
    assert_same(actual, create_objective(STYLE_LOSSES[name](), plain, backbone))


@pytest.mark.parametrize("name", CONTENT_LOSSES)
@pytest.mark.parametrize("hold", [1.0, 3.0])
def test_constant_hold_multiplies_the_term(name: str, hold: float) -> None:
    actual = create_objective(CONTENT_LOSSES[name](), create_pictures(hold=hold * ONES))
    find_regional(actual)
    assert_same(actual, create_objective(CONTENT_LOSSES[name](), create_pictures()), hold)


@pytest.mark.parametrize("name", STYLE_LOSSES)
@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.3, 0.7]])
def test_masks_of_ones_equal_the_plain_blend(name: str, weights: list[float]) -> None:
    frames = {1: (torch.zeros(1, 3, *SHAPE), 1 - LEFT)}
    styles = [FLAT, STYLES[1]] if name == "grain" else STYLES
    plain = create_pictures(styles=styles, blend_weights=weights, previous=frames)
    shares = torch.tensor(weights, dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, *SHAPE)
    actual = create_objective(STYLE_LOSSES[name](), replace(plain, shares=shares))
    (part,) = find_regional(actual).parts
    assert part.mask is None
    assert part.blend == pytest.approx(tuple(weights))
    assert_same(actual, create_objective(STYLE_LOSSES[name](), plain))


def test_variants_of_a_style_share_its_weight() -> None:
    styles = [STYLES[0], STYLES[0].flip(3)[..., :20], STYLES[1]]
    plain = create_pictures(styles=styles, blend_weights=[0.1, 0.2, 0.7], style_numbers=[0, 0, 1])
    shares = torch.cat([0.3 * ONES, 0.7 * ONES], 1)
    assert_same(
        create_objective(GramLoss(LAYERS), replace(plain, shares=shares)), create_objective(GramLoss(LAYERS), plain)
    )
    (left, right) = divide_image(replace(plain, shares=torch.cat([LEFT, RIGHT], 1)))
    assert left.blend == pytest.approx((1 / 3, 2 / 3, 0))
    assert right.blend == pytest.approx((0, 0, 1))


# Parts and crops


@pytest.mark.parametrize("backbone", ["vgg19", "slim"])
@pytest.mark.parametrize("name", ["gram", "whitened gram", "wasserstein", "sliced", "mean and deviation"])
def test_part_of_an_image_equals_the_part_of_its_crop(name: str, backbone: str) -> None:
    # The features of columns 0 to 15 see 5 columns further, to the right. A crop of 32 columns contains all of them, so
    # the statistics are taken over the same positions with the same values.
    make = STYLE_LOSSES[name]
    mask = draw_columns(0, 16)
    whole = create_objective(make(), create_pictures(mask, 1), backbone)
    cropped = create_objective(make(), create_pictures(mask[..., :32], 1, content=CONTENT[..., :32]), backbone)
    value, gradient = evaluate(whole)
    expected, gradient_of_crop = evaluate(cropped, IMAGE[..., :32])
    # The share of the part is larger in the crop.
    torch.testing.assert_close(value, expected * 32 / 48, rtol=1e-9, atol=0)
    atol = float(gradient.abs().max()) * 1e-9
    torch.testing.assert_close(gradient[..., :32], gradient_of_crop * 32 / 48, rtol=1e-7, atol=atol)
    assert not gradient[..., 16 + 6 :].any()
    assert gradient[..., :16].all()


@pytest.mark.parametrize("name", ["gram", "wasserstein", "sliced", "histogram", "mean and deviation"])
def test_halves_of_pixels_equal_two_objectives(name: str) -> None:
    kinds: dict[str, Any] = {
        "gram": GramLoss,
        "wasserstein": WassersteinLoss,
        "sliced": SlicedWassersteinLoss,
        "histogram": HistogramLoss,
        "mean and deviation": MeanStdLoss,
    }
    # Pixels see no other pixels, so a half has exactly the values of its crop.
    whole = create_objective(kinds[name](["image"]), create_pictures(torch.cat([LEFT, RIGHT], 1)))
    value, gradient = evaluate(whole)
    halves = [
        evaluate(
            create_objective(kinds[name](["image"]), create_pictures(None, 1, styles=[style])), IMAGE[..., columns]
        )
        for style, columns in zip(STYLES, [slice(0, 24), slice(24, 48)], strict=True)
    ]
    torch.testing.assert_close(value, (halves[0][0] + halves[1][0]) / 2)
    torch.testing.assert_close(gradient, torch.cat([halves[0][1], halves[1][1]], 3) / 2)


@pytest.mark.parametrize("name", [name for name in STYLE_LOSSES if name not in ("grain", "disocclusion")])
def test_each_style_pulls_only_its_part(name: str) -> None:
    # Receptive fields reach 6 px beyond a part, and cells of hypercolumns and blocks of pixels 4 px more.
    margin = 10
    both = torch.cat([LEFT, RIGHT], 1)
    gradients = [
        evaluate(create_objective(STYLE_LOSSES[name](), create_pictures(shares)))[1]
        for shares in (both, torch.cat([LEFT, 0 * RIGHT], 1), torch.cat([0 * LEFT, RIGHT], 1))
    ]
    torch.testing.assert_close(gradients[0], gradients[1] + gradients[2])
    assert gradients[1][..., : 24 - margin].any(1).double().mean() > 0.5
    assert gradients[2][..., 24 + margin :].any(1).double().mean() > 0.5
    assert not gradients[1][..., 24 + margin :].any()
    assert not gradients[2][..., : 24 - margin].any()


def test_parts_have_the_targets_of_their_styles() -> None:
    pictures = create_pictures(torch.cat([LEFT, RIGHT], 1))
    for number, image in enumerate((STYLES[0], STYLES[1])):
        # The part of an image that has its style already has no distance, the other has.
        stretched = functional.interpolate(image, size=(32, 24), mode="nearest")
        first = stretched if number == 0 else CONTENT[..., :24]
        second = stretched if number == 1 else CONTENT[..., 24:]
        own = create_objective(
            MeanStdLoss(["image"]),
            replace(pictures, styles=[stretched if n == number else s for n, s in enumerate(STYLES)]),
        )
        _, gradient = evaluate(own, torch.cat([first, second], 3))
        halves = [float(gradient[..., :24].abs().max()), float(gradient[..., 24:].abs().max())]
        assert halves[number] < 1e-9
        assert halves[1 - number] > 1e-6


def test_region_of_a_style_equals_its_crop() -> None:
    region = torch.zeros(1, 1, 30, 40, dtype=torch.float64)
    region[..., 10:30] = 1
    loss, other = MeanStdLoss(["image"]), MeanStdLoss(["image"])
    assert_same(
        create_objective(loss, create_pictures(None, 1, style_regions=[region])),
        create_objective(other, create_pictures(None, 1, styles=[STYLES[0][..., 10:30]])),
    )


def test_each_style_has_its_own_region() -> None:
    regions = [torch.zeros(1, 1, *style.shape[-2:], dtype=torch.float64) for style in STYLES]
    regions[0][..., 10:30], regions[1][..., :12] = 1, 1
    shares = torch.cat([LEFT, RIGHT], 1)
    loss, other = MeanStdLoss(["image"]), MeanStdLoss(["image"])
    assert_same(
        create_objective(loss, create_pictures(shares, style_regions=regions)),
        create_objective(other, create_pictures(shares, styles=[STYLES[0][..., 10:30], STYLES[1][..., :12]])),
    )


# Where the content is held and the style is weak


def test_hold_multiplies_the_gradient_of_pixels() -> None:
    hold = 1 + 9 * random_tensor(1, 1, *SHAPE, seed=6)
    held = evaluate(create_objective(ContentLoss(["image"]), create_pictures(hold=hold)))[1]
    plain = evaluate(create_objective(ContentLoss(["image"]), create_pictures()))[1]
    torch.testing.assert_close(held, hold * plain)


def test_strength_multiplies_the_gradient_of_a_gram_matrix_of_pixels() -> None:
    strength = random_tensor(1, 1, *SHAPE, seed=7)
    gradient = evaluate(create_objective(GramLoss(["image"]), create_pictures(strength, 1)))[1]
    rows, weights = IMAGE[0].flatten(1), strength.flatten()
    gram = (rows * weights) @ rows.T / (3 * weights.sum())
    style = STYLES[0][0].flatten(1)
    residual = gram - style @ style.T / style.numel()
    # share * d mean((G - T)^2) / dx_i = (sum w / n) * 4 / 9 * (G - T) x_i w_i / (3 sum w)
    expected = 4 / 9 * (residual @ rows) * weights / (3 * weights.numel())
    torch.testing.assert_close(gradient[0].flatten(1), expected)


@pytest.mark.parametrize("name", STYLE_LOSSES)
@pytest.mark.parametrize("count", [1, 2])
def test_strength_of_zero_everywhere_leaves_no_term(name: str, count: int) -> None:
    shares = torch.zeros(1, count, *SHAPE, dtype=torch.float64)
    objective = create_objective(STYLE_LOSSES[name](), create_pictures(shares, count))
    value, gradient = evaluate(objective, run=select_evaluation(objective))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", ["gram", "relaxed emd", "mean and deviation"])
def test_constant_strength_multiplies_the_term(name: str) -> None:
    actual = create_objective(STYLE_LOSSES[name](), create_pictures(0.25 * ONES, 1))
    assert_same(actual, create_objective(STYLE_LOSSES[name](), create_pictures(None, 1)), 0.25)


# Terms of some of the styles


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.2, 0.8]])
@pytest.mark.parametrize("kind", [GramLoss, RelaxedEMDLoss, NeighborLoss])
def test_terms_of_single_styles_equal_objectives_of_single_styles(weights: list[float], kind: Any) -> None:
    both = create_objective(
        {f"style_{number}": kind(LAYERS, 10.0 + number, styles=[number]) for number in (0, 1)},
        create_pictures(blend_weights=weights),
    )
    single = [
        evaluate(create_objective(kind(LAYERS, 10.0 + number), create_pictures(None, 1, styles=[style])))
        for number, style in enumerate(STYLES)
    ]
    value, gradient = evaluate(both)
    torch.testing.assert_close(value, single[0][0] + single[1][0])
    torch.testing.assert_close(gradient, single[0][1] + single[1][1])


def test_term_of_two_of_three_styles_blends_these_by_their_weights() -> None:
    third = random_image(20, 20, seed=8).double()
    some = create_objective(
        GramLoss(LAYERS, styles=[2, 0]),
        create_pictures(styles=[*STYLES, third], blend_weights=[0.1, 0.6, 0.3]),
    )
    assert_same(
        some, create_objective(GramLoss(LAYERS), create_pictures(styles=[STYLES[0], third], blend_weights=[0.25, 0.75]))
    )


def test_term_of_a_style_with_a_mask_applies_there() -> None:
    shares = torch.cat([LEFT, RIGHT], 1)
    left = create_objective(GramLoss(LAYERS, styles=[0]), create_pictures(shares))
    assert_same(left, create_objective(GramLoss(LAYERS), create_pictures(torch.cat([LEFT, 0 * LEFT], 1))))


def test_strength_applies_to_terms_of_some_styles() -> None:
    # 0.3 everywhere; each style has a half of it.
    shares = 0.15 * torch.cat([ONES, ONES], 1)
    actual = create_objective(GramLoss(LAYERS, styles=[1]), create_pictures(shares))
    assert_same(actual, create_objective(GramLoss(LAYERS), create_pictures(None, 1, styles=STYLES[1:])), 0.3)


@pytest.mark.parametrize("kind", [GramLoss, NeighborLoss, RelaxedEMDLoss])
def test_term_of_a_style_that_goes_nowhere_is_zero(kind: Any) -> None:
    # A mask that moves may leave the frame.
    shares = torch.cat([ONES, 0 * ONES], 1)
    value, gradient = evaluate(create_objective(kind(LAYERS, styles=[1]), create_pictures(shares)))
    assert value == 0
    assert not gradient.any()


def test_parts_of_a_style_with_a_map_have_one_number() -> None:
    # Styles 0 and 1 are two colors of one map.
    pictures = create_pictures(
        torch.cat([LEFT, 0.5 * RIGHT, 0.5 * RIGHT], 1),
        styles=[*STYLES, FLAT],
        blend_weights=[0.25, 0.25, 0.5],
        declared_numbers=[0, 0, 1],
    )
    assert [part.blend for part in divide_image(pictures, [0])] == [(1, 0, 0), (0, 1, 0)]
    assert [part.share for part in divide_image(pictures, [0])] == [0.5, 0.25]
    assert [part.blend for part in divide_image(pictures, [1])] == [(0, 0, 1)]


@pytest.mark.parametrize(
    ("numbers", "weights", "message"),
    [
        ([2], [0.5, 0.5], r"`styles` of the term 'term' to be numbers of styles from 0 to 1, but got \[2\]"),
        ([0, 5], [0.5, 0.5], r"but got \[0, 5\]"),
        ([1], [1.0, 0.0], r"`styles` \[1\] of the term 'term' to have a weight over 0, but all have 0"),
    ],
)
@pytest.mark.parametrize("is_masked", [False, True])
def test_numbers_of_styles_are_checked(numbers: list[int], weights: list[float], message: str, is_masked: bool) -> None:
    shares = torch.cat([LEFT, RIGHT], 1) if is_masked else None
    with pytest.raises(InputError, match=message) as error:
        create_objective(GramLoss(LAYERS, styles=numbers), create_pictures(shares, blend_weights=weights))
    assert "\n" not in str(error.value)


# Small parts


def create_small(layers: Sequence[str], mask: Tensor, checkpointing: bool = False) -> Objective:
    backbone = VGG19(weights="random", checkpointing=checkpointing)
    objective = Objective(backbone, {"term": MeanStdLoss(layers)}).double()
    objective.set_targets(create_pictures(mask, 1))
    return objective


@pytest.mark.parametrize("checkpointing", [False, True])
def test_deep_layers_leave_out_a_small_part(checkpointing: bool) -> None:
    layers = ["relu1_1", "conv_2", "conv_4", "conv_9"]
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
    mask[..., 8:16, 8:16] = 1
    objective = create_small(layers, mask, checkpointing)
    value, gradient = evaluate(objective, run=select_evaluation(objective))
    assert find_regional(objective).left_out == {0: {"conv_9"}}
    shallow = create_small(layers[:3], mask)
    expected, other = evaluate(shallow)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_part_that_is_too_small_for_all_layers_has_no_gradient(checkpointing: bool) -> None:
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
    mask[..., 8:9, 8:10] = 1
    layers = ["relu1_1", "conv_2", "conv_4"]
    objective = create_small(layers, mask, checkpointing)
    value, gradient = evaluate(objective, run=select_evaluation(objective))
    assert value == 0
    assert not gradient.any()
    assert find_regional(objective).left_out == {0: set(layers)}


# Ways to evaluate


def create_many() -> dict[str, Loss]:
    return {
        "content": ContentLoss(["conv_4", "relu2_2"]),
        "style": GramLoss(["conv_1", "relu_2", "conv_4"], 1e2, at=[1.0, 0.5], matched=0.5),
        "moments": WassersteinLoss(["relu_3", "image"]),
        "projections": SlicedWassersteinLoss(["relu_3"], styles=[1], points=100),
        "lines": NeighborLoss(["relu_3"], per_layer=True),
        "smooth": TotalVariationLoss(),
        "grain": GrainAwareTotalVariationLoss(),
    }


def create_masked() -> StagePictures:
    soft = (torch.arange(48.0).double() / 40).clamp(0, 1).expand(1, 1, *SHAPE)
    shares = 0.9 * torch.cat([soft, 1 - soft], 1)
    region = torch.zeros(1, 1, 30, 40, dtype=torch.float64)
    region[..., :32] = 1
    return create_pictures(shares, hold=1 + LEFT, style_regions=[region, None])


@pytest.mark.parametrize("slim", [False, True], ids=["vgg19", "slim"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_ways_to_evaluate_agree(slim: bool, checkpointing: bool) -> None:
    backbone = SlimVGG19(checkpointing=checkpointing) if slim else VGG19(weights="random", checkpointing=checkpointing)
    objective = Objective(backbone, create_many()).double()
    objective.set_targets(create_masked())
    selected = select_evaluation(objective)
    assert (getattr(selected, "func", None) is evaluate_checkpointed) is checkpointing
    assert sum(isinstance(loss, RegionalLoss) for loss in objective.named_losses.values()) == 6
    actual, expected = evaluate(objective, run=selected), evaluate(objective)
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-10, atol=0)
    torch.testing.assert_close(actual[1], expected[1], rtol=1e-7, atol=float(expected[1].abs().max()) * 1e-9)
    assert expected[1].all()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_scales_of_a_part_are_those_of_the_whole(scale: float) -> None:
    image, plain = create_pictures(ONES, 1), create_pictures(None, 1)
    assert_same(
        create_objective(GramLoss(LAYERS, at=[scale]), image), create_objective(GramLoss(LAYERS, at=[scale]), plain)
    )
    # The weights of the positions are means over their cells of the whole image.
    part = create_objective(MeanStdLoss(["image"], at=[0.5]), create_pictures(LEFT, 1))
    gradient = evaluate(part)[1]
    assert gradient[..., :24].all()
    assert not gradient[..., 27:].any()


@pytest.mark.parametrize("kind", [GramLoss, WassersteinLoss])
def test_matched_targets_of_parts_describe_what_the_content_resembles(kind: Any) -> None:
    region = torch.zeros(1, 1, 30, 40, dtype=torch.float64)
    region[..., :20] = 1

    def create(pictures: StagePictures, matched: float = 1.0) -> Objective:
        loss = kind(LAYERS, matched=matched)
        loss.matched_layer = "relu1_1"
        return create_objective(loss, pictures)

    masked = create_pictures(ONES, 1, style_regions=[region])
    assert not torch.allclose(evaluate(create(masked))[0], evaluate(create(masked, 0.0))[0], rtol=1e-3)
    # The right half of the style does not count.
    other = torch.cat([STYLES[0][..., :26], 1 - STYLES[0][..., 26:]], 3)
    assert_same(create(masked, 0.0), create(replace(masked, styles=[other]), 0.0))
    ones = create_pictures(ONES, 1, style_regions=[torch.ones_like(region)])
    assert_same(create(ones), create(create_pictures(None, 1)))


@pytest.mark.parametrize("name", [name for name in STYLE_LOSSES if name != "disocclusion"])
def test_bfloat16_is_close_to_float32(name: str) -> None:
    pictures = create_pictures(
        torch.cat([LEFT, RIGHT], 1).float(),
        content=CONTENT.float(),
        styles=[FLAT.float(), STYLES[1].float()],
        hold=(1 + LEFT).float(),
    )
    values = []
    for enabled in (False, True):
        objective = Objective(SlimVGG19(), {"term": STYLE_LOSSES[name](), "content": ContentLoss(["relu2_2"])})
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            objective.set_targets(pictures)
            values.append(evaluate(objective, IMAGE.float()))
    torch.testing.assert_close(values[1][0], values[0][0], rtol=0.03, atol=1e-4)
    cosine = functional.cosine_similarity(values[0][1].flatten(), values[1][1].flatten(), dim=0)
    assert cosine > 0.9


class ReadRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations whose result the program waits for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            self.reads.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in STYLE_LOSSES if "neighbor" not in name])
def test_evaluations_of_parts_may_be_recorded(name: str) -> None:
    # A recorded evaluation cannot wait for the device. Losses whose neighbors change are never recorded.
    frames = {1: (torch.zeros(1, 3, *SHAPE), 1 - draw_columns(0, 12))}
    pictures = create_pictures(torch.cat([LEFT, RIGHT], 1), hold=1 + LEFT, previous=frames)
    objective = create_objective({"term": STYLE_LOSSES[name](), "content": SelfSimilarityLoss(LAYERS)}, pictures)
    evaluate(objective)
    with ReadRecorder() as recorder:
        evaluate(objective)
    assert recorder.reads == []


def test_stages_without_masks_are_painted_as_a_whole() -> None:
    objective = create_objective(GramLoss(LAYERS), create_pictures(torch.cat([LEFT, RIGHT], 1)))
    objective.set_targets(create_pictures())
    assert_same(objective, create_objective(GramLoss(LAYERS), create_pictures()))


def test_parts_that_move_keep_the_targets_of_the_styles() -> None:
    objective = create_objective(GramLoss(LAYERS), create_pictures(torch.cat([LEFT, RIGHT], 1)))
    moved = create_pictures(torch.cat([draw_columns(0, 12), draw_columns(12, 48)], 1))
    # With the targets kept, other pictures of the styles are not read.
    other = replace(moved, styles=[1 - style for style in moved.styles])
    objective.set_targets(other, keep_style=True)
    assert_same(objective, create_objective(GramLoss(LAYERS), moved))
    objective.set_targets(other)
    assert_same(objective, create_objective(GramLoss(LAYERS), other))
