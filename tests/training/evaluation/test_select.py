from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.data.transfer import StagePictures
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss, WassersteinLoss
from nst_lightning.losses.base import Loss, total
from nst_lightning.training.module import StyleTransfer
from tests.helpers import smooth_image
from tests.training.evaluation.shared import PICTURE, STYLE

LAYERS = ["conv_1", "relu1_1", "relu_2", "conv2_2", "relu3_1", "conv_6"]


def create_backbone(slim: bool, **options: Any) -> Backbone:
    return SlimVGG19(**options) if slim else VGG19(weights="random", **options)


def create_losses() -> dict[str, Loss]:
    return {
        "content": ContentLoss(["conv_4", "relu2_2"]),
        "style": GramLoss(LAYERS, 1e4),
        "moments": WassersteinLoss(["relu_3", "image"]),
        "smooth": TotalVariationLoss(),
    }


def evaluate_module(
    backbone: Backbone, precision: str, given: dict[str, Loss]
) -> tuple[dict[str, dict[str, Tensor]], Tensor]:
    module = StyleTransfer(backbone, given)
    image = (PICTURE + 0.1 * smooth_image(27, 22, seed=3)).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        module.set_targets(StagePictures(PICTURE, [STYLE], [1.0]))
        parts = module.evaluate(image)
        objective = total({name: total(layers) for name, layers in parts.items()})
    objective.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    return parts, image.grad


@pytest.mark.parametrize("slim", [False, True], ids=["vgg19", "slim"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_checkpointed_evaluation_keeps_terms_and_gradient_bitwise(slim: bool, precision: str, pooling: str) -> None:
    found, expected = (
        evaluate_module(create_backbone(slim, pooling=pooling, checkpointing=on), precision, create_losses())
        for on in (True, False)
    )
    assert {name: list(parts) for name, parts in found[0].items()} == {
        name: list(term.layers) for name, term in create_losses().items()
    }
    for name, parts in expected[0].items():
        assert all(torch.equal(found[0][name][layer], part) for layer, part in parts.items())
    assert expected[1].any()
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_layerwise_evaluation_equals_plain_evaluation(checkpointing: bool) -> None:
    class WholeGramLoss(GramLoss):
        layerwise = False

    layers = ["conv_1", "relu_1", "conv_4", "relu_4"]
    backbone = VGG19(weights="random", checkpointing=checkpointing)
    found, expected = (
        evaluate_module(backbone, "float32", {"style": kind(layers, 1e4)}) for kind in (GramLoss, WholeGramLoss)
    )
    assert all(torch.equal(found[0]["style"][layer], expected[0]["style"][layer]) for layer in layers)
    torch.testing.assert_close(found[1], expected[1])


@pytest.mark.parametrize("slim", [False, True], ids=["vgg19", "slim"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_selected_evaluation_equals_the_plain_one_in_float64(slim: bool, pooling: str, checkpointing: bool) -> None:
    module = StyleTransfer(
        create_backbone(slim, pooling=pooling, checkpointing=checkpointing), create_losses()
    ).double()
    picture, style = PICTURE.double(), STYLE.double()
    module.objective.set_targets(StagePictures(picture, [style], [1.0]))
    assert module.evaluate is not module.objective
    image = (picture + 0.1 * smooth_image(27, 22, seed=3)).requires_grad_()
    values, gradients = [], []
    for evaluate in (module.objective, module.evaluate):
        found = evaluate(image)
        values.append(found)
        (gradient,) = torch.autograd.grad(total({name: total(layers) for name, layers in found.items()}), image)
        gradients.append(gradient)
    assert [list(layers) for layers in values[1].values()] == [list(layers) for layers in values[0].values()]
    torch.testing.assert_close(values[1], values[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)


def count_saved_bytes(checkpointing: bool, layers: list[str]) -> int:
    """Returns the bytes that the graph of an evaluation saves for its gradient, each storage once."""
    kept: dict[int, int] = {}

    def record_saved(value: Tensor) -> Tensor:
        kept[value.data_ptr()] = value.untyped_storage().nbytes()
        return value

    module = StyleTransfer(VGG19(weights="random", checkpointing=checkpointing), {"style": GramLoss(layers)})
    module.set_targets(StagePictures(None, [STYLE], [1.0]))
    image = smooth_image(128, 128).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(record_saved, lambda value: value):
        objective = total(module.criterion(image))
    assert objective.requires_grad
    return sum(kept.values())


def test_checkpointed_evaluation_saves_only_the_input_of_each_block() -> None:
    layers = ["relu1_1", "conv_2", "relu2_1", "conv_5"]
    # The padded image and the maxima of 64 and 128 channels; without checkpointing, four convolutions more.
    inputs = 4 * (3 * 130**2 + 64 * 64**2 + 128 * 32**2)
    assert count_saved_bytes(True, layers) == pytest.approx(inputs, rel=0.02)
    assert count_saved_bytes(False, layers) > 5 * inputs
