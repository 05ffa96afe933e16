import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.backbones.ops import frozen_layers as frozen
from nst_lightning.backbones.ops.frozen_layers import (
    InputState,
    max_pool,
    measure_and_max_pool,
    plain_max_pool,
    plain_measure_and_max_pool,
    plain_rectified_convolution,
    rectified_convolution,
)
from tests.helpers import random_normal

LAYERS = ["conv_1", "conv_2", "relu_3", "conv_4", "conv_6"]
IMAGE = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(3))


def test_rectified_convolution_passes_gradcheck() -> None:
    value, weight, bias = random_normal(2, 3, 6, 5).requires_grad_(), random_normal(4, 3, 3, 3), random_normal(4)
    expected = functional.conv2d(functional.relu(value), weight, bias, padding=1)
    torch.testing.assert_close(rectified_convolution(value, weight, bias), expected)
    assert torch.autograd.gradcheck(rectified_convolution, (value, weight, bias))


@pytest.mark.parametrize("state", ["shared", "rectified", "free"])
def test_rectified_convolution_equals_the_plain_implementation(state: InputState) -> None:
    value, weight, bias = random_normal(2, 3, 6, 5), random_normal(4, 3, 3, 3), random_normal(4)
    leaf = (functional.relu(value) if state == "rectified" else value).requires_grad_()
    plain = plain_rectified_convolution(leaf, weight, bias)
    result = rectified_convolution(leaf * 1, weight, bias, state)
    torch.testing.assert_close(result, plain, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(output, leaf, torch.ones_like(plain))[0] for output in (result, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_max_pool_equals_the_plain_implementation() -> None:
    value = random_normal(2, 3, 7, 6).requires_grad_()
    pooled = [implementation(value) for implementation in (max_pool, plain_max_pool)]
    assert torch.equal(*pooled)
    gradients = [torch.autograd.grad(output.square().sum(), value)[0] for output in pooled]
    assert torch.equal(*gradients)


def test_measure_and_pool_equals_the_plain_implementation() -> None:
    value = random_normal(1, 3, 7, 6).requires_grad_()

    def measure(leaf: Tensor) -> dict[str, Tensor]:
        return {"squares": leaf.square().sum(), "constant": leaf.detach().sum()}

    results, gradients = [], []
    for implementation in (measure_and_max_pool, plain_measure_and_max_pool):
        pooled, measured = implementation(value, measure)
        assert list(measured) == ["squares", "constant"]
        results.append(pooled)
        (gradient,) = torch.autograd.grad(pooled.pow(3).sum() + 3 * measured["squares"] + measured["constant"], value)
        gradients.append(gradient)
    assert torch.equal(*results)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_max_pool_passes_gradcheck() -> None:
    value = random_normal(2, 3, 7, 6).requires_grad_()
    assert torch.equal(max_pool(value), functional.max_pool2d(value, 2))
    assert torch.autograd.gradcheck(max_pool, value)


@pytest.mark.parametrize("height", [2, 3, 17, 40, 41])
def test_max_pool_overwrites_an_unneeded_input_with_its_gradient(height: int) -> None:
    value, pooled = random_normal(2, 3, height, 7), []
    gradients = []
    for spare in (False, True):
        leaf = value.clone().requires_grad_()
        inside = leaf * 1
        pooled.append(max_pool(inside, spare))
        gradients.append(torch.autograd.grad((pooled[-1] ** 2).sum(), leaf)[0])
        assert torch.equal(inside, value) is not spare
    plain = value.clone().requires_grad_()
    (expected,) = torch.autograd.grad((functional.max_pool2d(plain, 2) ** 2).sum(), plain)
    assert torch.equal(*pooled)
    assert torch.equal(gradients[0], expected)
    assert torch.equal(gradients[1], expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 3, 2, 8), (1, 3, 24, 7), (1, 3, 25, 8), (2, 3, 24, 8)])
def test_max_pool_gradient_is_independent_of_the_strips(
    shape: tuple[int, ...], layout: torch.memory_format, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = random_normal(*shape).round(decimals=0).contiguous(memory_format=layout).requires_grad_()
    pooled = functional.max_pool2d(value, 2)
    ways = random_normal(*pooled.shape).contiguous(memory_format=layout)
    (expected,) = torch.autograd.grad(pooled, value, ways)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for at_once in (1, 60, 10_000):
        monkeypatch.setattr(frozen, "MAXIMA_PER_STRIP", at_once)
        assert torch.equal(torch.autograd.grad(max_pool(value), value, ways)[0], expected)


def compute_gradient_plainly(backbone: VGG19 | SlimVGG19, image: Tensor, layer: int) -> Tensor:
    """Computes the gradient of a layer with operations of torch in the order of the paper."""
    value = functional.pad((image - backbone.mean) / backbone.std, (1, 1, 1, 1))
    for number in range(1, layer + 1):
        weight, bias = (backbone.get_parameter(f"convolutions.{number - 1}.{part}") for part in ("weight", "bias"))
        value = functional.relu(value) if number > 1 else value
        value = functional.max_pool2d(value, 2) if number in backbone.block_starts else value
        value = functional.conv2d(value, weight, bias, padding=0 if number == 1 else 1)
    return value


def test_frozen_network_equals_plain_operations() -> None:
    backbone = VGG19(weights="random").double()
    backbone.build(LAYERS)
    backbone.double()
    image = IMAGE.double().requires_grad_()
    actual, expected = backbone(image, LAYERS)["conv_6"], compute_gradient_plainly(backbone, image, 6)
    torch.testing.assert_close(actual, expected)
    direction = torch.randn_like(actual)
    gradients = [torch.autograd.grad((value * direction).sum(), image)[0] for value in (actual, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("backbone", [VGG19(weights="random"), SlimVGG19()], ids=["vgg19", "slim"])
def test_frozen_network_under_autocast_is_close_and_bfloat16(backbone: Backbone) -> None:
    backbone.build(LAYERS)
    exact = backbone(IMAGE, LAYERS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = backbone(IMAGE, LAYERS)
    for layer in LAYERS:
        assert actual[layer].dtype == torch.bfloat16
        assert exact[layer].dtype == torch.float32
        assert (actual[layer].float() - exact[layer]).norm() < 0.02 * exact[layer].norm()


def test_frozen_network_casts_weights_once_until_they_change() -> None:
    backbone = VGG19(weights="random")
    backbone.build(LAYERS)
    name = "convolutions.1.weight"
    first = backbone.cast(name, torch.bfloat16)
    assert backbone.cast(name, torch.bfloat16) is first
    backbone.to(torch.float64)
    assert backbone.cast(name, torch.bfloat16) is not first
    backbone.requires_grad_(True)
    cast = backbone.cast(name, torch.bfloat16)
    assert cast.requires_grad
    assert backbone.cast(name, torch.bfloat16) is not cast
    backbone.freeze()
    with torch.no_grad():
        backbone.get_parameter(name).zero_()
    assert not backbone.cast(name, torch.bfloat16).any()


def test_frozen_network_saves_only_outputs_of_convolutions() -> None:
    backbone = VGG19(weights="random")
    backbone.build(["conv_6"])
    kept: dict[int, int] = {}

    def record_saved(tensor: Tensor) -> Tensor:
        if tensor.dim() == 4 and tensor.shape[-1] > 3:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(record_saved, lambda tensor: tensor):
        backbone(image, ["conv_6"])
    # Outputs of conv_1 to conv_5, and the maxima before conv_3 and conv_5; then the image and its padding.
    channels = 64 + 64 + (64 + 128 + 128) / 4 + (128 + 256) / 16
    assert sum(kept.values()) < 4 * 64 * 64 * (channels + 12)
