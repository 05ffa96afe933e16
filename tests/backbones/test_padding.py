"""Networks with circular padding, and with repeated edges, in each convolution."""

from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import VGG16, VGG19, Backbone, SlimVGG19
from nst_lightning.backbones.multi_scale import MultiScale
from nst_lightning.errors import InputError
from tests.helpers import TinyBackbone, random_image, random_tensor

LAYERS = ["conv_1", "relu_2", "conv_4", "conv_7", "relu_8", "conv_10", "conv_13", "conv_2@0.5", "relu_13@0.5"]


def create_network(name: str, **options: Any) -> MultiScale:
    networks: dict[str, Backbone] = {
        "vgg16": VGG16(weights="random", **options),
        "vgg19": VGG19(weights="random", **options),
        "slim": SlimVGG19(**options),
    }
    network = MultiScale(networks[name])
    network.build(LAYERS)
    return network


def shift(value: Tensor, rows: int, columns: int) -> Tensor:
    return value.roll((rows, columns), (2, 3))


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("name", ["vgg16", "vgg19", "slim"])
def test_shifted_tile_has_shifted_features(name: str, pooling: str) -> None:
    network = create_network(name, pooling=pooling).double().with_padding("circular")
    image = random_tensor(1, 3, 64, 96)
    features, shifted = network(image, LAYERS), network(shift(image, 32, 64), LAYERS)
    for layer in LAYERS:
        stride = 64 // features[layer].shape[2]
        torch.testing.assert_close(
            shifted[layer], shift(features[layer], 32 // stride, 64 // stride), rtol=1e-9, atol=1e-9
        )


def test_other_paddings_do_not_commute_with_shifts() -> None:
    network, image = create_network("slim").double(), random_tensor(1, 3, 64, 96)
    for other in (network, network.with_padding("replicate")):
        features, shifted = (other(picture, ["conv_4"])["conv_4"] for picture in (image, shift(image, 32, 64)))
        assert (shifted - shift(features, 16, 32)).abs().max() > 0.1


@pytest.mark.parametrize("padding", ["circular", "replicate"])
def test_padding_changes_the_edges_only_and_leaves_the_network_as_it_is(padding: Any) -> None:
    network, image = SlimVGG19(), random_image(64, 64)
    network.build(["conv_4"])
    before = network(image, ["conv_4"])["conv_4"]
    padded = network.with_padding(padding)(image, ["conv_4"])["conv_4"]
    assert torch.equal(network(image, ["conv_4"])["conv_4"], before)
    torch.testing.assert_close(padded[..., 4:-4, 4:-4], before[..., 4:-4, 4:-4], rtol=1e-4, atol=1e-4)
    assert (padded - before)[..., 0, :].abs().max() > 0.1


def test_padded_network_shares_its_tensors() -> None:
    network = SlimVGG19()
    padded = network.with_padding("circular")
    network.build(["conv_2"])
    network.double()
    assert [p.data_ptr() for p in padded.parameters()] == [p.data_ptr() for p in network.parameters()]
    assert padded(random_tensor(1, 3, 8, 8), ["conv_2"])["conv_2"].dtype == torch.float64


@pytest.mark.parametrize("padding", ["circular", "replicate"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fast_layers_equal_the_plain_ones_of_a_trained_network(padding: Any, precision: str) -> None:
    results = []
    for is_trained in (False, True):
        network = SlimVGG19()
        network.build(LAYERS[:-2])
        network.requires_grad_(is_trained)
        image = random_image(64, 48).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            value = network.with_padding(padding)(image, ["conv_10"])["conv_10"].float().square().mean()
        results.append((value, *torch.autograd.grad(value, image)))
    (value, gradient), (expected, expected_gradient) = results
    tolerance = 0.05 if precision == "bfloat16" else 1e-4
    torch.testing.assert_close(value, expected, rtol=tolerance, atol=0)
    assert (gradient - expected_gradient).norm() < tolerance * expected_gradient.norm()


def test_tile_lengths_are_multiples_of_all_poolings() -> None:
    network = create_network("slim")
    assert [length for length in range(1, 65) if network.is_tile(length, ["conv_2"])] == list(range(1, 65))
    assert [length for length in range(1, 65) if network.is_tile(length, ["conv_10"])] == list(range(8, 65, 8))
    assert [length for length in range(1, 65) if network.is_tile(length, ["conv_2", "conv_10@0.5"])] == [
        length for length in range(1, 65) if round(length / 2) % 8 == 0 and round(length / 2)
    ]


def test_network_without_circular_padding_is_refused() -> None:
    with pytest.raises(InputError, match="Expected a network that can pad circularly for `tileable`, but got Tiny"):
        TinyBackbone().with_padding("circular")
