from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones import SlimVGG19
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.functional.sampling import draw_positions
from nst_lightning.functional.similarity import relaxed_earth_movers_distance
from nst_lightning.losses import RelaxedEMDLoss
from nst_lightning.training.evaluation.select import select_evaluation
from nst_lightning.training.objective import Objective
from tests.helpers import TinyBackbone, compute_term, random_features, random_image, set_target, smooth_image

LAYERS = ["conv_1", "conv_2"]


def read(value: Tensor, count: int, seed: int) -> Tensor:
    """Reads samples with PyTorch's own interpolation."""
    grid = (draw_positions(count, seed) * 2 - 1).flip(1)[None, None]
    return functional.grid_sample(value, grid, padding_mode="border", align_corners=False)[:, :, 0].mT


def create_loss(**options: Any) -> RelaxedEMDLoss:
    return RelaxedEMDLoss(LAYERS, **{"samples": 12, "style_samples": 20, "seed": 3} | options)


def test_relaxed_emd_loss_compares_layers_at_one_position_together() -> None:
    image, style = random_features(0, 8), random_features(1, 10)
    loss = create_loss(weight=3.0, layer_weights=[1.0, 0.25])
    set_target(loss, style)
    rows = [
        torch.cat([read(features["conv_1"], count, 3), 0.5 * read(features["conv_2"], count, 3)], dim=-1)
        for features, count in ((image, 12), (style, 20))
    ]
    actual = loss(image)
    assert list(actual) == ["conv_1+conv_2"]
    torch.testing.assert_close(
        actual["conv_1+conv_2"], 3.0 * relaxed_earth_movers_distance(rows[0], rows[1], "cosine"), rtol=1e-4, atol=1e-6
    )


def test_relaxed_emd_loss_waits_for_all_layers() -> None:
    loss = create_loss()
    set_target(loss, random_features(1))
    assert loss({"conv_1": random_features(0)["conv_1"]}) == {}


@pytest.mark.parametrize("cost", ["cosine", "euclidean", "both"])
def test_relaxed_emd_loss_of_the_style_is_zero(cost: str) -> None:
    loss = create_loss(cost=cost, samples=20)
    set_target(loss, random_features(1))
    assert compute_term(loss, random_features(1)).item() == pytest.approx(0, abs=1e-5)
    assert compute_term(loss, random_features(2)) > 0.05


def test_relaxed_emd_loss_is_one_function_of_the_image_for_a_seed() -> None:
    values = []
    for seed in (0, 0, 1):
        loss = create_loss(seed=seed)
        set_target(loss, random_features(1, 16))
        values.append(compute_term(loss, random_features(0, 16)).item())
    assert values[0] == values[1]
    assert values[0] != values[2]
    assert values[0] == pytest.approx(values[2], rel=0.5)


@pytest.mark.parametrize("cost", ["cosine", "euclidean"])
def test_relaxed_emd_loss_balanced_ignores_the_scale_of_a_layer(cost: str) -> None:
    image, style = random_features(0), random_features(1)
    distances = {}
    for balanced in (False, True):
        for scale in (1.0, 10.0):
            loss = create_loss(balanced=balanced, cost=cost)
            set_target(loss, style | {"conv_1": scale * style["conv_1"]})
            distances[balanced, scale] = compute_term(loss, image | {"conv_1": scale * image["conv_1"]})
    torch.testing.assert_close(distances[True, 10.0], distances[True, 1.0], rtol=1e-3, atol=0)
    assert abs(distances[False, 10.0] / distances[False, 1.0] - 1) > 0.02


def test_relaxed_emd_loss_joins_the_samples_of_several_styles() -> None:
    loss = create_loss()
    styles = [loss.target_statistics(random_features(seed)) for seed in (1, 2)]
    loss.set_target({layer: loss.blend_statistics([style[layer] for style in styles], [0.3, 0.7]) for layer in LAYERS})
    target = loss.get_buffer("hypercolumns")
    assert target.shape == (1, 20, 8)
    for number, (style, places) in enumerate(zip(styles, (slice(0, 6), slice(6, 20)), strict=True)):
        rows = torch.cat([style[layer] for layer in LAYERS], dim=-1)
        assert torch.equal(target[:, places], rows[:, : (6, 14)[number]])


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.01, 0.99], [1 / 3, 1 / 3, 1 / 3], [0.0, 1.0]])
def test_relaxed_emd_loss_always_joins_all_style_samples(weights: list[float]) -> None:
    loss = create_loss(style_samples=7)
    rows = [torch.full((1, 7, 2), float(number)) for number in range(len(weights))]
    joined = loss.blend_statistics(rows, weights)
    counts = [int((joined[..., 0] == number).sum()) for number in range(len(weights))]
    assert joined.shape == (1, 7, 2)
    assert all(abs(count - 7 * weight) < 1 for count, weight in zip(counts, weights, strict=True))


def test_relaxed_emd_loss_samples_readouts() -> None:
    backbone, layers = SlimVGG19(), ["relu_2", "conv_5"]
    backbone.build(layers)
    style, image = (backbone(smooth_image(32, 40, seed), layers) for seed in (0, 1))
    loss = RelaxedEMDLoss(layers, samples=30, style_samples=40)
    set_target(loss, style)
    plain = compute_term(loss, {layer: image[layer] for layer in layers})
    torch.testing.assert_close(compute_term(loss, image), plain, rtol=1e-3, atol=1e-4)


def test_objective_evaluates_the_relaxed_emd_loss_next_to_other_layers() -> None:
    pictures = StagePictures(None, [random_image(24, 20, seed=1), random_image(20, 24, seed=2)], [0.5, 0.5])
    losses = {"palette": RelaxedEMDLoss(["image"], cost="both"), "style": RelaxedEMDLoss(["conv_1", "conv_3"])}
    for names in (["palette"], ["palette", "style"]):
        objective = Objective(TinyBackbone(), {name: losses[name] for name in names})
        objective.set_targets(pictures)
        image = random_image(22, 22).requires_grad_()
        terms = select_evaluation(objective)(image)
        assert list(terms) == names
        distances = [distance for layers in terms.values() for distance in layers.values()]
        assert len(distances) == len(names)
        (gradient,) = torch.autograd.grad(sum(distances, torch.zeros(())), image)
        assert gradient.abs().max() > 0


def test_relaxed_emd_loss_reads_averages_of_pixels() -> None:
    image, style = smooth_image(32, 24, seed=1), smooth_image(24, 32, seed=2)
    averaged = [functional.avg_pool2d(picture, 4) for picture in (image, style)]
    values = []
    for pool, (own, other) in ((4, (image, style)), (1, averaged)):
        loss = RelaxedEMDLoss(["image"], cost="both", samples=16, style_samples=24, pool=pool)
        set_target(loss, {"image": other})
        values.append(compute_term(loss, {"image": own}))
    torch.testing.assert_close(values[0], values[1])


def test_relaxed_emd_loss_with_pool_moves_most_pixels_of_a_small_picture() -> None:
    for pool, is_dense in ((4, True), (1, False)):
        loss = RelaxedEMDLoss(["image"], cost="both", pool=pool)
        set_target(loss, {"image": smooth_image(64, 64)})
        image = random_image(64, 64).requires_grad_()
        (gradient,) = torch.autograd.grad(compute_term(loss, {"image": image}), image)
        assert bool((gradient != 0).float().mean() > 0.9) is is_dense


def test_relaxed_emd_loss_rejects_no_samples() -> None:
    with pytest.raises(InputError, match="`pool` to be 1 px or more, but got 0"):
        create_loss(pool=0)
    with pytest.raises(InputError, match="1 or more, but got 0 and 5"):
        create_loss(samples=0, style_samples=5)
    with pytest.raises(InputError, match="1 or more, but got 5 and 0"):
        create_loss(samples=5, style_samples=0)
