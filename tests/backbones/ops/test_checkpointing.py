from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.backbones.ops.checkpointing import again
from nst_lightning.backbones.ops.frozen_layers import seen_maxima
from nst_lightning.data.transfer import StagePictures
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss, WassersteinLoss
from nst_lightning.losses.base import Loss, total
from nst_lightning.training.module import StyleTransfer
from tests.tiny import smooth_image

PICTURE, STYLE = smooth_image(27, 22, seed=1), smooth_image(30, 24, seed=2)
LAYERS = ["conv_1", "relu1_1", "relu_2", "conv2_2", "relu3_1", "conv_6"]


def network(slim: bool, **options: Any) -> Backbone:
    return SlimVGG19(**options) if slim else VGG19(weights="random", **options)


def terms() -> dict[str, Loss]:
    return {
        "content": ContentLoss(["conv_4", "relu2_2"]),
        "style": GramLoss(LAYERS, 1e4),
        "moments": WassersteinLoss(["relu_3", "image"]),
        "smooth": TotalVariationLoss(),
    }


def evaluated(
    backbone: Backbone, precision: str, given: dict[str, Loss]
) -> tuple[dict[str, dict[str, Tensor]], Tensor]:
    module = StyleTransfer(backbone, given)
    image = (PICTURE + 0.1 * smooth_image(27, 22, seed=3)).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        module.set_targets(StagePictures(PICTURE, [STYLE], [1.0]))
        parts = module.objective.parts(image)
        objective = total({name: total(layers) for name, layers in parts.items()})
    objective.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    return parts, image.grad


@pytest.mark.parametrize("slim", [False, True], ids=["vgg19", "slim"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_checkpointing_changes_neither_the_terms_nor_the_gradient(slim: bool, precision: str, pooling: str) -> None:
    found, expected = (
        evaluated(network(slim, pooling=pooling, checkpointing=on), precision, terms()) for on in (True, False)
    )
    assert {name: list(parts) for name, parts in found[0].items()} == {
        name: list(term.layers) for name, term in terms().items()
    }
    for name, parts in expected[0].items():
        assert all(torch.equal(found[0][name][layer], part) for layer, part in parts.items())
    assert expected[1].any()
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_layer_by_layer_is_all_at_once(checkpointing: bool) -> None:
    class Whole(GramLoss):
        layerwise = False

    layers = ["conv_1", "relu_1", "conv_4", "relu_4"]
    backbone = VGG19(weights="random", checkpointing=checkpointing)
    found, expected = (evaluated(backbone, "float32", {"style": kind(layers, 1e4)}) for kind in (GramLoss, Whole))
    assert all(torch.equal(found[0]["style"][layer], expected[0]["style"][layer]) for layer in layers)
    torch.testing.assert_close(found[1], expected[1])


def test_layers_come_out_and_lead_back() -> None:
    found = []
    for on in (False, True):
        backbone = VGG19(weights="random", checkpointing=on)
        backbone.build(LAYERS)
        image = PICTURE.clone().requires_grad_()
        features = backbone(image, ["conv_1", "conv1_1", "relu_2", "conv_6"])
        # One that is not looked at has no gradient.
        (gradient,) = torch.autograd.grad(features["conv1_1"].sum() + features["conv_6"].square().sum(), image)
        found.append((features, gradient))
    (plain, expected), (again_, gradient) = found
    assert all(torch.equal(again_[layer], plain[layer]) for layer in plain)
    torch.testing.assert_close(gradient, expected)


def kept_bytes(checkpointing: bool, layers: list[str]) -> int:
    """What a graph keeps after its evaluation, each storage once."""
    kept: dict[int, int] = {}

    def note(value: Tensor) -> Tensor:
        kept[value.data_ptr()] = value.untyped_storage().nbytes()
        return value

    module = StyleTransfer(VGG19(weights="random", checkpointing=checkpointing), {"style": GramLoss(layers)})
    module.set_targets(StagePictures(None, [STYLE], [1.0]))
    image = smooth_image(128, 128).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        objective = total(module.criterion(image))
    assert objective.requires_grad
    return sum(kept.values())


def test_of_each_block_its_input_is_kept() -> None:
    layers = ["relu1_1", "conv_2", "relu2_1", "conv_5"]
    # Three channels as the network sees them, and the maxima of 64 and 128 channels; without, four convolutions more.
    inputs = 4 * (3 * 130**2 + 64 * 64**2 + 128 * 32**2)
    assert kept_bytes(True, layers) == pytest.approx(inputs, rel=0.02)
    assert kept_bytes(False, layers) > 5 * inputs


def test_a_network_that_is_trained_is_not_computed_again() -> None:
    backbone = VGG19(weights="random", checkpointing=True)
    backbone.build(["conv_2"])
    backbone.requires_grad_(True)
    backbone(PICTURE, ["conv_2"])["conv_2"].sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_a_gradient_of_what_is_computed_again() -> None:
    calls = []

    def part(value: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        calls.append(torch.is_grad_enabled())
        return value.sin(), {"square": value.square(), "constant": value.detach() + 1}

    value = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    following, found = again(part, value)
    assert following is not None
    (following.sum() + (3 * found["square"] + found["constant"]).sum()).backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    torch.testing.assert_close(value.grad, value.cos() + 6 * value.detach())
    assert calls == [False, True]


def test_gradients_of_what_is_seen_and_of_its_maxima_are_added() -> None:
    value = torch.randn(1, 3, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()

    def look(given: Tensor) -> dict[str, Tensor]:
        return {"squares": given.square().sum(), "constant": given.detach().sum()}

    pooled, found = seen_maxima(value, look)
    expected = torch.nn.functional.max_pool2d(value, 2)
    assert torch.equal(pooled, expected)
    assert list(found) == ["squares", "constant"]
    ways = torch.randn(pooled.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((pooled * ways).sum() + 3 * found["squares"] + found["constant"], value)
    (other,) = torch.autograd.grad((expected * ways).sum(), value)
    torch.testing.assert_close(gradient, other + 6 * value.detach())
