from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.backbones.features import Features
from nst_lightning.data.transfer import StagePictures
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss, WassersteinLoss
from nst_lightning.losses.base import Loss, total
from nst_lightning.training.evaluation.checkpointed import evaluate_checkpointed
from nst_lightning.training.evaluation.select import select_evaluation
from nst_lightning.training.evaluation.streamed import evaluate_streamed
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective
from tests.helpers import TinyBackbone, smooth_image

PICTURE, STYLE = smooth_image(27, 22, seed=1), smooth_image(30, 24, seed=2)
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
    backbone: Backbone, precision: str, losses: dict[str, Loss]
) -> tuple[dict[str, dict[str, Tensor]], Tensor]:
    module = StyleTransfer(backbone, losses)
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
    actual, expected = (
        evaluate_module(create_backbone(slim, pooling=pooling, checkpointing=on), precision, create_losses())
        for on in (True, False)
    )
    assert {name: list(parts) for name, parts in actual[0].items()} == {
        name: list(term.layers) for name, term in create_losses().items()
    }
    for name, parts in expected[0].items():
        assert all(torch.equal(actual[0][name][layer], part) for layer, part in parts.items())
    assert expected[1].any()
    assert torch.equal(actual[1], expected[1])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_layerwise_evaluation_equals_plain_evaluation(checkpointing: bool) -> None:
    class WholeGramLoss(GramLoss):
        layerwise = False

    layers = ["conv_1", "relu_1", "conv_4", "relu_4"]
    backbone = VGG19(weights="random", checkpointing=checkpointing)
    actual, expected = (
        evaluate_module(backbone, "float32", {"style": kind(layers, 1e4)}) for kind in (GramLoss, WholeGramLoss)
    )
    assert all(torch.equal(actual[0]["style"][layer], expected[0]["style"][layer]) for layer in layers)
    torch.testing.assert_close(actual[1], expected[1])


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
        actual = evaluate(image)
        values.append(actual)
        (gradient,) = torch.autograd.grad(total({name: total(layers) for name, layers in actual.items()}), image)
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


def find_selected_function(backbone: Backbone, losses: dict[str, Loss]) -> object:
    """Returns the function that evaluates an objective, or "plain" if it is the call of the objective itself."""
    objective = Objective(backbone, losses)
    selected = select_evaluation(objective)
    return selected.func if isinstance(selected, partial) else "plain" if selected == objective.__call__ else selected


@pytest.mark.parametrize("slim", [False, True], ids=["vgg19", "slim"])
def test_selected_evaluation_is_streamed_by_default(slim: bool) -> None:
    assert find_selected_function(create_backbone(slim), create_losses()) is evaluate_streamed
    assert find_selected_function(TinyBackbone(), {"style": GramLoss(["conv_1"])}) is evaluate_streamed


@pytest.mark.parametrize("slim", [False, True], ids=["vgg19", "slim"])
def test_selected_evaluation_is_checkpointed_with_checkpointing(slim: bool) -> None:
    assert find_selected_function(create_backbone(slim, checkpointing=True), create_losses()) is evaluate_checkpointed


@pytest.mark.parametrize("checkpointing", [False, True])
def test_selected_evaluation_is_plain_with_a_loss_that_is_not_layerwise(checkpointing: bool) -> None:
    class JointLoss(Loss):
        layers = ("conv_1", "conv_2")

        def layer_distances(self, features: Features) -> dict[str, Tensor]:
            return {"conv_1": features["conv_1"].mean() * features["conv_2"].mean()}

    losses = create_losses() | {"joint": JointLoss()}
    assert find_selected_function(create_backbone(False, checkpointing=checkpointing), losses) == "plain"


def test_selected_evaluation_is_plain_without_layers() -> None:
    assert find_selected_function(create_backbone(False), {"smooth": TotalVariationLoss()}) == "plain"
