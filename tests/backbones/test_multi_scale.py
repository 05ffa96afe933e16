from typing import Any

import pytest
import torch
from torch.nn import functional

from nst_lightning.backbones import SlimVGG19
from nst_lightning.backbones.multi_scale import MultiScale, group_by_scale, join_layer, shrink, split_layer
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss, WassersteinLoss
from nst_lightning.losses.base import Loss, total
from nst_lightning.training.evaluation import select_evaluation
from nst_lightning.training.objective import Objective
from tests.helpers import TinyBackbone, smooth_image


def test_layer_names_round_trip() -> None:
    assert split_layer("conv_3@0.25") == ("conv_3", 0.25)
    assert split_layer("conv_3") == ("conv_3", 1.0)
    assert [join_layer(*split_layer(name)) for name in ("relu2_1@0.5", "image")] == ["relu2_1@0.5", "image"]
    assert group_by_scale(["a", "b@0.5", "c"]) == {1.0: ["a", "c"], 0.5: ["b"]}


@pytest.mark.parametrize("layer", ["conv_1@", "conv_1@2", "conv_1@0", "conv_1@half", "conv_1@nan"])
def test_scale_must_be_a_share(layer: str) -> None:
    with pytest.raises(InputError, match="scale"):
        split_layer(layer)


def test_multi_scale_evaluates_the_shrunk_image() -> None:
    network = MultiScale(TinyBackbone())
    network.build(["conv_1", "conv_3@0.5", "image@0.25"])
    image = smooth_image(17, 24)
    features = network(image, ["conv_1", "conv_3@0.5", "image@0.25"])
    half = functional.interpolate(image, size=(8, 12), mode="bilinear", antialias=True)
    assert torch.equal(features["conv_1"], network.network(image, ["conv_1"])["conv_1"])
    assert torch.equal(features["conv_3@0.5"], network.network(half, ["conv_3"])["conv_3"])
    assert torch.equal(features["image@0.25"], shrink(image, 0.25))
    assert features["image@0.25"].shape == (1, 3, 4, 6)


def test_multi_scale_needs_a_larger_image_for_a_smaller_scale() -> None:
    network = MultiScale(TinyBackbone())
    assert network.smallest_size(["conv_3"]) == 2
    assert network.smallest_size(["conv_3@0.3", "conv_1"]) == 7


def test_term_at_several_scales_is_the_mean_of_its_scales() -> None:
    def evaluate(scale: float | None) -> float:
        scales = [1.0, 0.5] if scale is None else [scale]
        objective = Objective(TinyBackbone(), {"style": GramLoss(["conv_1", "conv_3"], weight=7.0, at=scales)})
        objective.set_targets(StagePictures(None, [smooth_image(32, 40, seed=1)], [1.0]))
        return total(objective(smooth_image(24, 30, seed=2))["style"]).item()

    assert evaluate(None) == pytest.approx((evaluate(1.0) + evaluate(0.5)) / 2)


@pytest.mark.parametrize("whitening", [None, 0.5])
def test_every_evaluation_of_shrunk_images_agrees_with_the_plain_one(whitening: float | None) -> None:
    scales = [1.0, 0.5]
    losses: dict[str, Loss] = {
        "content": ContentLoss(["conv_3", "image@0.5"]),
        "style": GramLoss(["conv_1", "conv_5"], weight=5.0, whitening=whitening, at=scales),
        "normal": WassersteinLoss(["relu2_1", "image"], at=scales),
        "smooth": TotalVariationLoss(),
    }
    results: list[Any] = []
    for checkpointing in (False, True):
        objective = Objective(SlimVGG19(checkpointing=checkpointing), losses)
        objective.set_targets(StagePictures(smooth_image(32, 48, seed=1), [smooth_image(32, 32, seed=2)], [1.0]))
        for evaluate in (objective, select_evaluation(objective)):
            image = smooth_image(32, 48, seed=3).requires_grad_()
            terms = evaluate(image)
            (gradient,) = torch.autograd.grad(total({name: total(term) for name, term in terms.items()}), image)
            results.append(({name: {k: v.item() for k, v in term.items()} for name, term in terms.items()}, gradient))
    for terms, gradient in results[1:]:
        assert {name: list(term) for name, term in terms.items()} == {n: list(t) for n, t in results[0][0].items()}
        for name, term in terms.items():
            assert term == pytest.approx(results[0][0][name], rel=1e-4)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("at", [[], [0.5, 0.5], [2.0], [0.0]])
def test_scales_of_a_term_are_checked(at: list[float]) -> None:
    with pytest.raises(InputError, match="at"):
        WassersteinLoss(["conv_1"], at=at)
