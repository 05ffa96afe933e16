import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones import VGG19
from nst_lightning.backbones.ops import winograd
from nst_lightning.backbones.ops.periodic_convolution import plain_padded_convolution
from nst_lightning.backbones.ops.winograd import Kernels, transform_gradient_kernel, transform_kernel
from tests.helpers import random_normal

LAYERS = ["conv_3", "conv_5", "relu_5", "relu_6", "conv_7"]


@pytest.mark.parametrize("strip", [1, 10_000, 2**22])
@pytest.mark.parametrize("shape", [(2, 5, 1, 1), (1, 5, 4, 4), (1, 3, 5, 9), (2, 8, 37, 50), (1, 4, 2, 13)])
def test_winograd_equals_the_plain_convolution(
    shape: tuple[int, ...], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "STRIP_BYTES", strip)
    value, weight, bias = random_normal(*shape), random_normal(7, shape[1], 3, 3), random_normal(7)
    expected = functional.conv2d(functional.relu(value), weight, bias, padding=1)
    torch.testing.assert_close(winograd.convolve(value, transform_kernel(weight), bias, rectify=True), expected)
    plain = functional.conv2d(value, weight, padding=1)
    torch.testing.assert_close(winograd.convolve(value, transform_kernel(weight)), plain)
    transposed = functional.conv_transpose2d(plain, weight, padding=1)
    torch.testing.assert_close(winograd.convolve(plain, transform_gradient_kernel(weight)), transposed)


@pytest.mark.parametrize("strip", [1, 10_000, 2**22])
@pytest.mark.parametrize("shape", [(2, 5, 1, 1), (1, 5, 4, 4), (1, 3, 5, 9), (2, 8, 37, 50), (1, 4, 2, 13)])
def test_periodic_winograd_equals_the_plain_convolution(
    shape: tuple[int, ...], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "STRIP_BYTES", strip)
    value, weight, bias = random_normal(*shape).requires_grad_(), random_normal(7, shape[1], 3, 3), random_normal(7)
    kernels = Kernels(transform_kernel(weight), transform_gradient_kernel(weight))
    actual = winograd.winograd_convolution(value, kernels, bias, periodic=True)
    expected = plain_padded_convolution(value, weight, bias)
    torch.testing.assert_close(actual, expected)
    direction = random_normal(*actual.shape)
    torch.testing.assert_close(*(torch.autograd.grad(result, value, direction)[0] for result in (actual, expected)))


@pytest.mark.parametrize("rectified", [False, True])
def test_winograd_passes_gradcheck(rectified: bool) -> None:
    value, weight, bias = random_normal(2, 3, 6, 5), random_normal(4, 3, 3, 3), random_normal(4)
    value = (functional.relu(value) if rectified else value).requires_grad_()
    kernels = Kernels(transform_kernel(weight), transform_gradient_kernel(weight))
    actual = winograd.winograd_convolution(value, kernels, bias, rectified)
    expected = functional.conv2d(functional.relu(value), weight, bias, padding=1)
    torch.testing.assert_close(actual, expected)
    direction = random_normal(*actual.shape)
    gradients = [torch.autograd.grad(result, value, direction)[0] for result in (actual, expected)]
    torch.testing.assert_close(*gradients)
    if not rectified:
        assert torch.autograd.gradcheck(lambda value: winograd.winograd_convolution(value, kernels, bias), value)


def test_winograd_in_float32_is_close_to_float64() -> None:
    value, weight, bias = random_normal(1, 96, 32, 32), random_normal(96, 96, 3, 3), random_normal(96)
    expected = functional.conv2d(value, weight, bias, padding=1)
    actual = winograd.convolve(value.float(), transform_kernel(weight.float()), bias.float())
    assert actual.dtype == torch.float32
    assert (actual - expected).norm() < 4e-6 * expected.norm()


def test_winograd_keeps_features_and_gradient_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    used: list[tuple[int, ...]] = []
    convolution = winograd.convolve

    def record_shape(value: Tensor, *arguments: Tensor | None, **options: bool) -> Tensor:
        used.append(tuple(value.shape))
        return convolution(value, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(winograd, "convolve", record_shape)
    backbone = VGG19(weights="random")
    backbone.build(LAYERS)
    actual = compute_features_and_gradient(backbone)
    # Forward through conv_4 to conv_7, then backward.
    maps = [(1, 128, 72, 64), (1, 128, 36, 32), (1, 256, 36, 32), (1, 256, 36, 32)]
    back = [(1, 256, 36, 32), (1, 256, 36, 32), (1, 256, 36, 32), (1, 128, 72, 64)]
    assert used == maps + back
    monkeypatch.setattr("platform.machine", lambda: "another")
    for ours, plain in zip(actual, compute_features_and_gradient(backbone), strict=True):
        assert (ours - plain).norm() < 1e-5 * plain.norm()
    assert len(used) == 8


def compute_features_and_gradient(backbone: VGG19) -> list[Tensor]:
    image = torch.rand(1, 3, 144, 128, generator=torch.Generator().manual_seed(3)).requires_grad_()
    features = backbone(image, LAYERS)
    objective = torch.stack([value.square().mean() for value in features.values()]).sum()
    return [*features.values(), *torch.autograd.grad(objective, image)]


def test_winograd_kernels_are_cached_until_weights_change() -> None:
    backbone = VGG19(weights="random")
    backbone.build(LAYERS)
    name = "convolutions.3.weight"
    first = backbone.derive(name, transform_kernel, transform_kernel)
    assert backbone.derive(name, transform_kernel, transform_kernel) is first
    with torch.no_grad():
        backbone.get_parameter(name).zero_()
    backbone.freeze()
    assert not backbone.derive(name, transform_kernel, transform_kernel).any()


@pytest.mark.parametrize(
    ("value", "weight", "machine", "expected"),
    [
        ((1, 96, 32, 32), (96, 96, 3, 3), "x86_64", True),
        ((1, 96, 32, 32), (96, 96, 3, 3), "AMD64", True),
        ((1, 96, 32, 31), (96, 96, 3, 3), "x86_64", False),
        ((1, 64, 512, 512), (128, 64, 3, 3), "x86_64", False),
        ((1, 96, 32, 32), (96, 96, 3, 3), "aarch64", False),
    ],
)
def test_winograd_is_selected_where_it_was_measured_to_be_faster(
    value: tuple[int, ...], weight: tuple[int, ...], machine: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert winograd.is_faster(torch.empty(value), torch.empty(weight)) is expected
    for other in ({"dtype": torch.bfloat16}, {"dtype": torch.float64}, {"device": "meta"}):
        assert not winograd.is_faster(torch.empty(value).to(**other), torch.empty(weight))
