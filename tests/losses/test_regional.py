"""Losses of parts of an image, on features that are given: no network mixes the parts."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.features import Features
from nst_lightning.backbones.position_mask import PositionMask
from nst_lightning.functional.neighbors import cosine_distance
from nst_lightning.functional.wasserstein import draw_directions
from nst_lightning.losses import (
    ContentLoss,
    DisocclusionGramLoss,
    FeatureLoss,
    GrainAwareTotalVariationLoss,
    GramLoss,
    HistogramLoss,
    LaplacianLoss,
    MeanStdLoss,
    NeighborLoss,
    RelaxedEMDLoss,
    SelfSimilarityLoss,
    SlicedWassersteinLoss,
    WassersteinLoss,
)
from nst_lightning.losses.base import total
from nst_lightning.losses.regional import ImagePart, RegionalLoss
from tests.helpers import random_normal, random_tensor

LAYERS = ["conv_1", "conv_2"]
SIZE = (8, 12)

# Losses that take a statistic over positions, and thus describe each part by itself.
STATISTICS: dict[str, Callable[[], FeatureLoss]] = {
    "gram": lambda: GramLoss(LAYERS, 3.0, [1.0, 0.5]),
    "whitened gram": lambda: GramLoss(LAYERS, 3.0, whitening=0.5),
    "wasserstein": lambda: WassersteinLoss(LAYERS, 3.0, [1.0, 0.5]),
    "sliced": lambda: SlicedWassersteinLoss(LAYERS, 3.0, points=40),
    "histogram": lambda: HistogramLoss([*LAYERS, "image"], 3.0, points=40),
    "mean and deviation": lambda: MeanStdLoss(LAYERS, 3.0, [1.0, 0.5]),
}
NEIGHBORS: dict[str, Callable[[], FeatureLoss]] = {
    "neighbor": lambda: NeighborLoss(LAYERS, 3.0, stride=2, content_share=0.0),
    "neighbor per layer": lambda: NeighborLoss(LAYERS, 3.0, per_layer=True, content_share=0.0),
}
SAMPLES: dict[str, Callable[[], FeatureLoss]] = {
    "relaxed emd": lambda: RelaxedEMDLoss(LAYERS, 3.0, samples=40, style_samples=50),
    "palette": lambda: RelaxedEMDLoss(["image"], 3.0, cost="both", samples=40, style_samples=50, pool=1),
}
STYLE = STATISTICS | NEIGHBORS | SAMPLES
CONTENT: dict[str, Callable[[], FeatureLoss]] = {
    "content": lambda: ContentLoss(LAYERS, 3.0, [1.0, 0.5]),
    "normalized content": lambda: ContentLoss(LAYERS, 3.0, normalized=True),
    "laplacian": lambda: LaplacianLoss(3.0, pool=[1, 2]),
    "self-similarity": lambda: SelfSimilarityLoss(LAYERS, 3.0, samples=40),
}
SMOOTHNESS: dict[str, Callable[[], FeatureLoss]] = {"grain": lambda: GrainAwareTotalVariationLoss(3.0)}
ALL = STYLE | CONTENT | SMOOTHNESS


def draw_features(seed: int, height: int = SIZE[0], width: int = SIZE[1]) -> dict[str, Tensor]:
    """Returns seeded features of two layers and the image, float64; the second layer has half the size."""
    generator = torch.Generator().manual_seed(seed)

    def draw(channels: int, step: int) -> Tensor:
        values = torch.rand(1, channels, height // step, width // step, generator=generator, dtype=torch.float64)
        return values - 0.2

    return {"image": draw(3, 1), "conv_1": draw(3, 1), "conv_2": draw(5, 2)}


def crop(features: Mapping[str, Tensor], columns: slice) -> dict[str, Tensor]:
    """Returns the features of some columns of the image."""
    result = {}
    for layer, value in features.items():
        step = SIZE[1] // value.shape[-1]
        result[layer] = value[..., columns.start // step : columns.stop // step]
    return result


def mask_columns(start: int, stop: int) -> PositionMask:
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    mask[..., start:stop] = 1
    return PositionMask(mask)


def set_targets(
    loss: FeatureLoss | RegionalLoss, *references: Features | Mapping[str, Tensor], weights: Sequence[float] = (1.0,)
) -> None:
    """Sets the targets of a loss as an objective does."""
    statistics: dict[str, list[Tensor | None]] = {}
    for reference in references:
        features = reference if isinstance(reference, Features) else Features(reference)
        found = loss.target_statistics(features)
        for layer in loss.layers:
            statistics.setdefault(layer, []).append(found.get(layer))
    loss.set_blended_target(statistics, weights)


def create(
    name: str, parts: Sequence[ImagePart], *references: Features | Mapping[str, Tensor], **given: FeatureLoss
) -> RegionalLoss:
    """Returns a loss of parts; the reference is one picture unless given."""
    loss = RegionalLoss(given["loss"] if given else ALL[name]())
    loss.set_parts(parts)
    set_targets(loss, *(references or (draw_features(9, 8, 10),)))
    return loss


def create_plain(name: str, *references: Mapping[str, Tensor]) -> FeatureLoss:
    loss = ALL[name]()
    set_targets(loss, *references, weights=[1 / len(references)] * len(references))
    return loss


def evaluate(loss: FeatureLoss | RegionalLoss, features: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the term and its gradients by layer."""
    leaves = {layer: value.detach().clone().requires_grad_() for layer, value in features.items()}
    loss.begin_evaluation(0)
    term = total(loss(Features(leaves)))
    gradients = torch.autograd.grad(term, list(leaves.values()), allow_unused=True)
    pairs = zip(leaves.items(), gradients, strict=True)
    return term.detach(), {
        layer: torch.zeros_like(leaf) if gradient is None else gradient for (layer, leaf), gradient in pairs
    }


def reference_of(name: str) -> dict[str, Tensor]:
    # A content has the size of the image, and a picture of noise has no smoothness.
    features = draw_features(9) if name in CONTENT else draw_features(9, 8, 10)
    return {layer: 0.1 * value for layer, value in features.items()} if name in SMOOTHNESS else features


def pull_back(parts: Sequence[tuple[float, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Joins gradients of crops side by side, each times the share of its part."""
    return {layer: torch.cat([share * own[layer] for share, own in parts], dim=3) for layer in parts[0][1]}


# Equalities


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [1.0, 0.4])
def test_constant_mask_gives_the_whole_term_times_its_value(name: str, value: float) -> None:
    reference, features = reference_of(name), draw_features(1)
    mask = PositionMask(torch.full((1, 1, *SIZE), value, dtype=torch.float64), is_eroded=True)
    actual = evaluate(create(name, [ImagePart(mask, (1.0,))], reference), features)
    term, gradients = evaluate(create_plain(name, reference), features)
    assert term > 0
    torch.testing.assert_close(actual[0], value * term)
    for layer, gradient in gradients.items():
        torch.testing.assert_close(actual[1][layer], value * gradient)


@pytest.mark.parametrize("name", STYLE | SMOOTHNESS)
def test_constant_masks_with_the_same_target_add_up_to_the_whole_term(name: str) -> None:
    reference, features = reference_of(name), draw_features(1)
    masks = [PositionMask(torch.full((1, 1, *SIZE), share, dtype=torch.float64)) for share in (0.3, 0.7)]
    # Two blends of one picture with itself.
    parts = [ImagePart(mask, blend) for mask, blend in zip(masks, [(1.0, 0.0), (0.0, 1.0)], strict=True)]
    actual = evaluate(create(name, parts, reference, reference), features)
    term, gradients = evaluate(create_plain(name, reference), features)
    torch.testing.assert_close(actual[0], term)
    for layer, gradient in gradients.items():
        torch.testing.assert_close(actual[1][layer], gradient)


@pytest.mark.parametrize("name", STYLE)
def test_hard_masks_equal_crops_times_their_shares(name: str) -> None:
    # The parts have exactly the positions of the crops. Samples between two positions also read beyond the border, so
    # the columns on both sides of it are made equal there.
    features = draw_features(1)
    for layer, column in (("image", 4), ("conv_1", 4), ("conv_2", 2)):
        if name in SAMPLES:
            features[layer][..., column] = features[layer][..., column - 1]
    styles = [draw_features(7, 8, 10), draw_features(8, 6, 8)]
    parts = [ImagePart(mask_columns(0, 4), (1.0, 0.0)), ImagePart(mask_columns(4, 12), (0.0, 1.0))]
    actual = evaluate(create(name, parts, *styles), features)
    crops = [
        evaluate(create_plain(name, style), crop(features, columns))
        for style, columns in zip(styles, [slice(0, 4), slice(4, 12)], strict=True)
    ]
    torch.testing.assert_close(actual[0], crops[0][0] / 3 + crops[1][0] * 2 / 3)
    expected = pull_back([(1 / 3, crops[0][1]), (2 / 3, crops[1][1])])
    for layer, gradient in expected.items():
        if name in SAMPLES:
            continue
        torch.testing.assert_close(actual[1][layer], gradient)


@pytest.mark.parametrize("name", STATISTICS | NEIGHBORS)
def test_region_of_a_style_equals_its_crop(name: str) -> None:
    style, features = draw_features(7), draw_features(1)
    region = Features(style).within(mask_columns(4, 12))
    actual = evaluate(create(name, [ImagePart(None, (1.0,))], region), features)
    expected = evaluate(create_plain(name, crop(style, slice(4, 12))), features)
    torch.testing.assert_close(actual[0], expected[0])


@pytest.mark.parametrize("name", STATISTICS)
def test_order_of_the_positions_within_a_part_is_irrelevant(name: str) -> None:
    loss, features = create(name, [ImagePart(mask_columns(0, 4), (1.0,))]), draw_features(1)
    moved = {layer: value.clone() for layer, value in features.items()}
    for value in moved.values():
        inside = value[..., : value.shape[-1] // 3]
        order = torch.randperm(inside[0, 0].numel(), generator=torch.Generator().manual_seed(0))
        inside.copy_(inside.flatten(2)[..., order].view_as(inside))
    assert not torch.equal(moved["conv_1"], features["conv_1"])
    torch.testing.assert_close(evaluate(loss, moved)[0], evaluate(loss, features)[0])
    # Values from the other part change the term.
    moved["conv_1"][..., 0] = features["conv_1"][..., 11]
    assert evaluate(loss, moved)[0] != pytest.approx(float(evaluate(loss, features)[0]), rel=1e-6)


@pytest.mark.parametrize("name", STYLE)
def test_each_part_pulls_only_its_own_positions(name: str) -> None:
    features, styles = draw_features(1), [draw_features(7, 8, 10), draw_features(8, 6, 8)]
    first = ImagePart(mask_columns(0, 4), (1.0, 0.0))
    second = ImagePart(mask_columns(8, 12), (0.0, 1.0))
    for part, inside in ((first, slice(0, 4)), (second, slice(8, 12))):
        _, gradients = evaluate(create(name, [part], *styles), features)
        for layer in ("image",) if name == "palette" else LAYERS:
            own = crop(gradients, inside)[layer]
            assert own.any(dim=1).float().mean() > 0.7, layer
            # Samples at the border of the part read one position beyond it.
            margin = 2 if name in SAMPLES else 0
            outside = gradients[layer].clone()
            step = SIZE[1] // outside.shape[-1]
            outside[..., max(0, (inside.start - margin) // step) : (inside.stop + margin) // step] = 0
            assert not outside.any(), layer


@pytest.mark.parametrize("name", STYLE)
def test_two_parts_are_the_sum_of_single_parts(name: str) -> None:
    features, styles = draw_features(1), [draw_features(7, 8, 10), draw_features(8, 6, 8)]
    weights = random_tensor(1, 1, *SIZE, seed=3)
    parts = [
        ImagePart(PositionMask(weights), (1.0, 0.0)),
        ImagePart(PositionMask(1 - weights), (0.0, 1.0)),
    ]
    whole = evaluate(create(name, parts, *styles), features)
    single = [evaluate(create(name, [part], *styles), features) for part in parts]
    torch.testing.assert_close(whole[0], single[0][0] + single[1][0])
    for layer, gradient in whole[1].items():
        torch.testing.assert_close(gradient, single[0][1][layer] + single[1][1][layer])


# Gradients


@pytest.mark.parametrize("name", ALL)
def test_gradient_of_parts_is_that_of_the_term(name: str) -> None:
    soft = (2 * random_tensor(1, 1, 4, 6, seed=3) - 0.6).clamp(0, 1)
    parts = [ImagePart(PositionMask(soft), (1.0, 0.0)), ImagePart(PositionMask(soft.amax() - soft), (0.25, 0.75))]
    if name in CONTENT:
        parts = [ImagePart(PositionMask(1 + 3 * soft), (1.0,))]
    pictures = [draw_features(7, 4, 6), draw_features(8, 4, 6)][: len(parts)]
    loss = create(name, parts, *pictures)
    features = draw_features(1, 4, 6)
    # Assignments of neighbors are fixed between two searches.
    loss.begin_evaluation(0)
    loss(Features(features))
    loss.begin_evaluation(1)

    def compute(*values: Tensor) -> Tensor:
        return total(loss(Features(dict(zip(features, values, strict=True)))))

    assert torch.autograd.gradcheck(compute, [value.requires_grad_() for value in features.values()])


# Comparisons with loops over positions


def list_rows(value: Tensor) -> list[Tensor]:
    """Returns the vector at each position of a feature map."""
    return [value[0, :, y, x] for y in range(value.shape[2]) for x in range(value.shape[3])]


def list_weights(mask: Tensor, step: int) -> list[float]:
    """Returns the mean of each cell of a mask."""
    height, width = mask.shape[2] // step, mask.shape[3] // step
    cells = [
        mask[0, 0, y * step : (y + 1) * step, x * step : (x + 1) * step] for y in range(height) for x in range(width)
    ]
    return [float(cell.mean()) for cell in cells]


# Nothing, something and all of different pixels.
SOFT = (2 * random_tensor(1, 1, *SIZE, seed=5) - 0.6).clamp(0, 1)


def measure_moments(value: Tensor, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Returns weighted means and means of products, from a loop over positions."""
    rows, whole = list_rows(value), sum(weights)
    mean, products = torch.zeros(value.shape[1]), torch.zeros(value.shape[1], value.shape[1])
    mean, products = mean.double(), products.double()
    for row, weight in zip(rows, weights, strict=True):
        mean += weight / whole * row
        products += weight / whole * torch.outer(row, row)
    return mean, products


@pytest.mark.parametrize(("layer", "step"), [("conv_1", 1), ("conv_2", 2)])
def test_statistics_of_a_part_equal_a_loop_over_positions(layer: str, step: int) -> None:
    features, style = draw_features(1), draw_features(7, 8, 10)
    weights, value = list_weights(SOFT, step), features[layer]
    mean, products = measure_moments(value, weights)
    inside = Features(features).within(PositionMask(SOFT))
    torch.testing.assert_close(inside.gram_matrix(layer)[0], products / value.shape[1])
    moments = inside.moments(layer)[0]
    torch.testing.assert_close(moments[:-1, :-1], products)
    torch.testing.assert_close(moments[-1, :-1], mean)
    assert float(moments[-1, -1]) == pytest.approx(1)

    target = GramLoss([layer]).target_statistics(style)[layer][0]
    gram = create("", [ImagePart(PositionMask(SOFT), (1.0,))], style, loss=GramLoss([layer], 2.0))
    expected = float(SOFT.mean()) * 2 * (products / value.shape[1] - target).square().mean()
    torch.testing.assert_close(evaluate(gram, features)[0], expected)

    other_mean, other = measure_moments(style[layer], [1.0] * style[layer][0, 0].numel())
    variances, others = (p.diagonal() - m.square() for m, p in ((mean, products), (other_mean, other)))
    noise = max(1e-3 * float(others.mean()), 1e-5)
    squares = (mean - other_mean).square() + ((variances + noise).sqrt() - (others + noise).sqrt()).square()
    loss = create("", [ImagePart(PositionMask(SOFT), (1.0,))], style, loss=MeanStdLoss([layer], 2.0))
    torch.testing.assert_close(evaluate(loss, features)[0], float(SOFT.mean()) * 2 * squares.mean())


def interpolate(levels: list[float], values: list[float], level: float) -> float:
    """Interpolates a curve through points linearly."""
    for (low, high), (first, second) in zip(pairwise(levels), pairwise(values), strict=True):
        if level <= high + 1e-12:
            return first + (second - first) * (level - low) / (high - low)
    return values[-1]


def measure_levels(weights: Sequence[float]) -> list[float]:
    middles = [sum(weights[:number]) + weight / 2 for number, weight in enumerate(weights)]
    return [(middle - middles[0]) / (middles[-1] - middles[0]) for middle in middles]


def test_projections_of_a_part_equal_a_loop_over_positions() -> None:
    features, style, region = draw_features(1), draw_features(7), random_tensor(1, 1, *SIZE, seed=6) + 0.1
    points = 9
    loss = create(
        "",
        [ImagePart(PositionMask(SOFT), (1.0,))],
        Features(style).within(PositionMask(region)),
        loss=SlicedWassersteinLoss(["conv_1"], points=points),
    )
    error, own_weights = 0.0, list_weights(SOFT, 1)
    for direction in draw_directions(3, 0).double():
        ordered = sorted(
            zip([float(r @ direction) for r in list_rows(style["conv_1"])], list_weights(region, 1), strict=True)
        )
        levels = measure_levels([weight for _, weight in ordered])
        quantiles = [interpolate(levels, [v for v, _ in ordered], k / (points - 1)) for k in range(points)]
        values = [float(row @ direction) for row in list_rows(features["conv_1"])]
        inside = sorted((v, w) for v, w in zip(values, own_weights, strict=True) if w > 0)
        for (value, weight), level in zip(inside, measure_levels([w for _, w in inside]), strict=True):
            wanted = interpolate([k / (points - 1) for k in range(points)], quantiles, level)
            error += weight / sum(own_weights) * (value - wanted) ** 2 / 3
    assert float(evaluate(loss, features)[0]) == pytest.approx(float(SOFT.mean()) * error)


@pytest.mark.parametrize("per_layer", [True, False])
def test_neighbors_of_parts_equal_a_naive_search(per_layer: bool) -> None:
    features, styles = draw_features(1), [draw_features(7), draw_features(8)]
    regions = [mask_columns(0, 8), mask_columns(4, 12)]
    parts = [ImagePart(PositionMask(SOFT), (1.0, 0.0)), ImagePart(PositionMask(SOFT.amax() - SOFT), (0.0, 1.0))]
    own = NeighborLoss(["conv_1"], per_layer=per_layer, stride=1, content_share=0.0)
    pictures = [Features(style).within(region) for style, region in zip(styles, regions, strict=True)]
    loss = create("", parts, *pictures, loss=own)
    expected, columns = 0.0, [slice(0, 8), slice(4, 12)]
    for part, style, inside in zip(parts, styles, columns, strict=True):
        assert part.mask is not None
        weights = list_weights(part.mask.mask, 1)
        rows = [(r, w) for r, w in zip(list_rows(features["conv_1"]), weights, strict=True) if w > 0]
        candidates = torch.stack(list_rows(style["conv_1"][..., inside]))
        middle = torch.stack([row for row, _ in rows]).mean(0)
        for row, weight in rows:
            cosines = functional.cosine_similarity(row - middle, candidates - candidates.mean(0))
            distance = 1 - functional.cosine_similarity(row, candidates[int(cosines.argmax())], dim=0)
            expected += part.share * weight / sum(weights) * float(distance)
    assert float(evaluate(loss, features)[0]) == pytest.approx(expected)


def test_cosine_distance_weighs_positions() -> None:
    rows, targets, weights = [random_normal(6, 3)], [random_normal(6, 3) + 1], random_tensor(6)
    expected = (
        sum(
            float(weight) * (1 - functional.cosine_similarity(rows[0][n], targets[0][n], dim=0))
            for n, weight in enumerate(weights)
        )
        / weights.sum()
    )
    torch.testing.assert_close(cosine_distance(rows, targets, [2.0], weights), expected)
    leaf = rows[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cosine_distance([x], targets, [2.0], weights), leaf)


@pytest.mark.parametrize("normalized", [False, True])
def test_content_of_held_parts_equals_a_loop_over_positions(normalized: bool) -> None:
    features, content, hold = draw_features(1), draw_features(7), 1 + 4 * SOFT
    own = ContentLoss(["conv_2"], 2.0, normalized=normalized)
    loss = create("", [ImagePart(PositionMask(hold), (1.0,))], content, loss=own)
    expected = 0.0
    pairs = zip(list_rows(features["conv_2"]), list_rows(content["conv_2"]), list_weights(hold, 2), strict=True)
    for row, other, weight in pairs:
        if normalized:
            row, other = (v / math.sqrt(float(v @ v) + 1e-4) for v in (row, other))
            expected += 2 * weight * float((row - other) @ (row - other)) / 2 / 24
        else:
            expected += 2 * weight * float((row - other).square().mean()) / 24
    assert float(evaluate(loss, features)[0]) == pytest.approx(expected)


# Parts that are too small


@pytest.mark.parametrize("name", [*STATISTICS, "neighbor per layer"])
def test_layer_with_too_few_positions_is_left_out(name: str) -> None:
    # 6 positions of conv_1, and 1.5 of conv_2.
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    mask[..., :2, :3] = 1
    loss, features = create(name, [ImagePart(PositionMask(mask), (1.0,))]), draw_features(1)
    leaves = {layer: value.clone().requires_grad_() for layer, value in features.items()}
    distances = loss(Features(leaves))
    assert loss.left_out == {0: {"conv_2"}}
    assert float(distances["conv_2"].detach()) == 0
    assert float(distances["conv_1"].detach()) > 0
    # A loss of some of its layers, as those that stream the layers.
    alone = create(name, [ImagePart(PositionMask(mask), (1.0,))])
    assert float(alone(Features({"conv_2": features["conv_2"], "image": features["image"]}))["conv_2"]) == 0
    assert torch.equal(distances["conv_1"], loss(Features(features))["conv_1"])
    gradients = torch.autograd.grad(total(distances), list(leaves.values()), allow_unused=True)
    assert [bool(g is not None and g.any()) for g in gradients][1:] == [True, False]


@pytest.mark.parametrize("name", [*STATISTICS, "neighbor per layer"])
def test_layer_with_too_few_positions_of_the_style_is_left_out(name: str) -> None:
    region = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    region[..., :2, :3] = 1
    style, features = Features(draw_features(7)).within(PositionMask(region)), draw_features(1)
    loss = create(name, [ImagePart(None, (1.0,))], style)
    distances = loss(Features(features))
    assert loss.left_out == {0: {"conv_2"}}
    assert float(distances["conv_2"]) == 0
    assert float(distances["conv_1"]) > 0
    # A second style that has the layer takes its place.
    both = create(name, [ImagePart(None, (0.5, 0.5))], style, draw_features(8))
    other = create(name, [ImagePart(None, (0.0, 1.0))], style, draw_features(8))
    torch.testing.assert_close(both(Features(features))["conv_2"], other(Features(features))["conv_2"])
    assert both.left_out == {}


@pytest.mark.parametrize("name", STYLE | SMOOTHNESS)
@pytest.mark.parametrize("parts", [0, 1])
def test_nothing_is_compared_without_a_large_enough_part(name: str, parts: int) -> None:
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    mask[..., 5, 5] = 1
    loss = create(name, [ImagePart(PositionMask(mask), (1.0,))][:parts])
    term, gradients = evaluate(loss, draw_features(1))
    if parts == 0 or name in STATISTICS | SMOOTHNESS or name == "neighbor per layer":
        assert term == 0
        assert not any(gradient.any() for gradient in gradients.values())
    else:
        # These compare samples.
        assert term > 0
    assert bool(torch.isfinite(term))


@pytest.mark.parametrize("name", STYLE)
@pytest.mark.parametrize("value", [1e-3, 5e-5, 1e-12])
def test_faint_part_hardly_counts(name: str, value: float) -> None:
    mask = torch.full((1, 1, *SIZE), value, dtype=torch.float64)
    term, gradients = evaluate(create(name, [ImagePart(PositionMask(mask), (1.0,))]), draw_features(1))
    assert 0 <= float(term) < 10 * value
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients.values())


def test_neighbors_are_kept_although_a_layer_is_left_out() -> None:
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    mask[..., :2, :3] = 1
    loss = create("neighbor per layer", [ImagePart(PositionMask(mask), (1.0,))])
    found = []
    for step in range(3):
        loss.begin_evaluation(step)
        loss(Features(draw_features(step)))
        found.append(loss.get_extra_state()["0"]["_extra_state"]["conv_1"])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


# Targets and states


@pytest.mark.parametrize("name", NEIGHBORS)
def test_assigned_neighbors_lie_in_the_style_of_the_part(name: str) -> None:
    # Each feature of a style has its number in a channel of its own.
    styles = [draw_features(seed) for seed in (7, 8)]
    loss = create(
        name,
        [ImagePart(mask_columns(0, 4), (1.0, 0.0)), ImagePart(mask_columns(4, 12), (0.0, 1.0))],
        *(Features(style).within(mask_columns(0, 6)) for style in styles),
    )
    evaluate(loss, draw_features(1))
    for style, copied in zip(styles, loss._copies.values(), strict=True):
        assert isinstance(copied, NeighborLoss)
        inside = torch.stack(list_rows(style["conv_1"][..., :6]))
        if name == "neighbor":
            inside = torch.stack(list_rows(functional.avg_pool2d(style["conv_1"][..., :6], 2)))
        nearest = copied.require_buffer("nearest", "conv_1")
        assert bool((torch.cdist(nearest, inside).amin(1) < 1e-6).all())


@pytest.mark.parametrize("name", NEIGHBORS)
def test_states_of_parts_are_restored(name: str) -> None:
    parts = [ImagePart(mask_columns(0, 4), (1.0, 0.0)), ImagePart(mask_columns(4, 12), (0.0, 1.0))]
    styles = [draw_features(7), draw_features(8)]
    loss = create(name, parts, *styles)
    evaluate(loss, draw_features(1))
    saved = loss.state_dict()
    resumed = RegionalLoss(ALL[name]())
    resumed.load_state_dict(saved)
    resumed.set_parts(parts)
    set_targets(resumed, *styles)
    loss.begin_evaluation(1)
    resumed.begin_evaluation(1)
    features = Features(draw_features(2))
    expected = total(loss(features))
    assert torch.equal(total(resumed(features)), expected)
    # Neighbors of a new search differ.
    fresh = create(name, parts, *styles)
    assert not torch.equal(total(fresh(features)), expected)


def test_new_stage_forgets_neighbors_and_saved_states() -> None:
    parts = [ImagePart(mask_columns(0, 4), (1.0,))]
    loss, other = create("neighbor", parts), RegionalLoss(NEIGHBORS["neighbor"]())
    evaluate(loss, draw_features(1))
    other.load_state_dict(loss.state_dict())
    for current in (loss, other):
        current.begin_stage()
        if current is other:
            current.set_parts(parts)
            set_targets(current, draw_features(9, 8, 10))
        current.begin_evaluation(1)
        fresh = evaluate(create("neighbor", parts), draw_features(2))[0]
        assert torch.equal(total(current(Features(draw_features(2)))), fresh)


def test_neighbors_lie_mainly_inside_the_region_of_a_style() -> None:
    region = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    region[..., :4], region[..., 4:6], region[..., 6:8] = 1, 0.5, 0.49
    style, loss = draw_features(7), NEIGHBORS["neighbor per layer"]()
    # Of a region that is weak everywhere, the strongest positions count.
    for strength, columns in ((1.0, 6), (0.1, 4)):
        found = loss.target_statistics(Features(style).within(PositionMask(strength * region)))["conv_1"]
        expected = torch.stack(list_rows(style["conv_1"][..., :columns]))
        # In any order.
        assert torch.equal(found[found[:, 0].argsort()], expected[expected[:, 0].argsort()])


def test_state_of_another_kind_of_loss_is_ignored() -> None:
    plain, features = ALL["neighbor"](), Features(draw_features(1))
    set_targets(plain, draw_features(7))
    plain(features)
    regional = create("neighbor", [ImagePart(mask_columns(0, 4), (1.0,))], draw_features(7))
    regional(features)
    for source, target in (
        (plain, create("neighbor", regional.parts, draw_features(7))),
        (regional, ALL["neighbor"]()),
    ):
        target.set_extra_state(source.get_extra_state())
        if isinstance(target, RegionalLoss):
            target.set_parts(target.parts)
        set_targets(target, draw_features(7))
        found = []
        for step in range(2):
            target.begin_evaluation(step)
            target(Features(draw_features(3 + step)))
            state = target.get_extra_state()
            found.append(state["0"]["_extra_state"] if isinstance(target, RegionalLoss) else state)
        assert list(found[0]) == ["hypercolumn"]
        # The search is not made again in each evaluation.
        assert torch.equal(found[0]["hypercolumn"], found[1]["hypercolumn"])


def test_parts_with_known_blends_keep_their_targets() -> None:
    loss = create("gram", [ImagePart(mask_columns(0, 4), (1.0, 0.0))], draw_features(7), draw_features(8))
    term = evaluate(loss, draw_features(1))[0]
    assert loss.set_parts([ImagePart(mask_columns(0, 4), (1.0, 0.0))], keep_targets=True)
    assert evaluate(loss, draw_features(1))[0] == term
    assert loss.set_parts([ImagePart(mask_columns(4, 8), (1.0, 0.0))], keep_targets=True)
    assert evaluate(loss, draw_features(1))[0] != term
    assert not loss.set_parts([ImagePart(mask_columns(0, 4), (0.0, 1.0))], keep_targets=True)
    assert not loss.set_parts([ImagePart(mask_columns(0, 4), (1.0, 0.0))])


def test_strength_factor_applies_to_all_parts() -> None:
    parts = [ImagePart(mask_columns(0, 4), (1.0, 0.0)), ImagePart(mask_columns(4, 12), (0.0, 1.0))]
    loss = create("mean and deviation", parts, draw_features(7), draw_features(8))
    term = evaluate(loss, draw_features(1))[0]
    loss.set_strength_factor(0.5)
    torch.testing.assert_close(evaluate(loss, draw_features(1))[0], term / 2)
    assert loss.weight == 1.5


def test_targets_of_parts_move_with_the_loss() -> None:
    parts = [ImagePart(mask_columns(0, 4), (1.0, 0.0)), ImagePart(mask_columns(4, 12), (0.0, 1.0))]
    loss = create("mean and deviation", parts, draw_features(7), draw_features(8))
    moved = loss.to("meta")
    assert {part.mask.mask.device.type for part in moved.parts if part.mask is not None} == {"meta"}
    assert {b.device.type for own in moved._copies.values() for b in own.buffers()} == {"meta"}


# Disoccluded areas of films


def test_disoccluded_area_of_a_part_is_the_overlap() -> None:
    disoccluded = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    disoccluded[..., 2:6] = 1
    frames = {1: (torch.zeros(1), 1 - disoccluded)}
    features, styles = draw_features(1), [draw_features(7), draw_features(8)]
    parts = [ImagePart(mask_columns(0, 4), (1.0, 0.0)), ImagePart(mask_columns(4, 12), (0.0, 1.0))]
    loss = create("", parts, *styles, loss=DisocclusionGramLoss(LAYERS, 3.0))
    loss.set_previous_frames(frames)
    term, gradients = evaluate(loss, features)
    expected = torch.zeros((), dtype=torch.float64)
    for style, columns in zip(styles, [slice(2, 4), slice(4, 6)], strict=True):
        plain = GramLoss(LAYERS, 3.0)
        set_targets(plain, style)
        expected = expected + evaluate(plain, crop(features, columns))[0] * 2 / 12
    torch.testing.assert_close(term, expected)
    assert not gradients["conv_1"][..., :2].any()
    assert not gradients["conv_1"][..., 6:].any()
    assert gradients["conv_1"][..., 2:6].all()
    # Without an overlap the second part has no distance.
    disoccluded[..., 4:] = 0
    loss.set_previous_frames({1: (torch.zeros(1), 1 - disoccluded)})
    assert not evaluate(loss, features)[1]["conv_1"][..., 4:].any()


def test_area_of_a_weak_part_has_its_weight() -> None:
    disoccluded = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    disoccluded[..., :6] = 1
    terms = []
    for strength in (1.0, 0.25):
        mask = PositionMask(torch.full((1, 1, *SIZE), strength, dtype=torch.float64))
        loss = create("", [ImagePart(mask, (1.0,))], loss=DisocclusionGramLoss(LAYERS, 3.0))
        loss.set_previous_frames({1: (torch.zeros(1), 1 - disoccluded)})
        terms.append(evaluate(loss, draw_features(1))[0])
    torch.testing.assert_close(terms[1], terms[0] / 4)


@pytest.mark.parametrize("name", list(ALL))
def test_changed_weight_scales_the_term(name: str) -> None:
    """The weight of a wrapped loss takes effect with the next target."""
    references = reference_of(name)
    loss, image = create(name, [ImagePart(None, (1.0,))], references), draw_features(3)
    before, _ = evaluate(loss, image)
    loss.set_strength_factor(0.5)
    loss.change_weight(12.0)
    set_targets(loss, references)
    assert (loss.given_weight, loss.weight) == (12.0, 6.0)
    after, _ = evaluate(loss, image)
    torch.testing.assert_close(after, 2 * before, rtol=1e-6, atol=0)
