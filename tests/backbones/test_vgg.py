from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nst_lightning.backbones import VGG16, VGG19
from nst_lightning.backbones.vgg import VGG
from nst_lightning.errors import InputError
from tests.helpers import OXFORD

IMAGE = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3))


def write_torchvision_file(path: Path, name: str = "vgg19") -> nn.Module:
    """Saves the convolutions of a torchvision network with random weights and biases, and returns the network."""
    torch.manual_seed(5)
    features: nn.Module = getattr(torchvision.models, name)(weights=None).features
    for module in features.children():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.bias, std=0.1)  # type: ignore[arg-type]
    tensors = {f"features.{k}": v for k, v in features.state_dict().items()}
    if path.suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    return features


def compute_torchvision_features(network: nn.Module, value: Tensor) -> dict[str, Tensor]:
    """Returns the outputs of all convolutions and ReLUs of a torchvision network."""
    actual: dict[str, Tensor] = {}
    number = 0
    for module in list(network.children())[:-1]:  # without the last pooling, for which the picture is too small
        if isinstance(module, nn.ReLU):
            value = torch.relu(value)
            actual[f"relu_{number}"] = value
            continue
        value = module(value)
        if isinstance(module, nn.Conv2d):
            number += 1
            actual[f"conv_{number}"] = value
    return actual


@pytest.mark.parametrize(("network", "convolutions"), [(VGG16, 13), (VGG19, 16)])
def test_vgg_layers_equal_torchvision(tmp_path: Path, network: type[VGG], convolutions: int) -> None:
    path = tmp_path / "weights.pth"
    reference = write_torchvision_file(path, network.__name__.lower())
    backbone = network(weights=str(path), preprocessing="imagenet")
    layers = [f"{kind}_{n}" for n in range(1, convolutions + 1) for kind in ("conv", "relu")]
    backbone.build(layers)
    actual = backbone(IMAGE, layers)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = compute_torchvision_features(reference, (IMAGE - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert list(actual) == layers
    for layer in layers:
        torch.testing.assert_close(actual[layer], expected[layer])


def test_vgg_block_names_equal_numbers() -> None:
    backbone = VGG19(weights="random")
    by_block = [f"{block}_{n}" for block, depth in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, depth + 1)]
    assert by_block[:3] + by_block[8:9] + by_block[-1:] == ["1_1", "1_2", "2_1", "4_1", "5_4"]
    for number, name in enumerate(by_block, 1):
        assert backbone.position(f"conv{name}") == backbone.position(f"conv_{number}") == (number, "conv")
        assert backbone.position(f"relu{name}") == backbone.position(f"relu_{number}") == (number, "relu")
    assert len(backbone.layer_names) == 64
    assert len(VGG16(weights="random").layer_names) == 52


def test_vgg_features_have_the_requested_names() -> None:
    backbone = VGG19(weights="random")
    backbone.build(["conv2_1"])
    actual = backbone(IMAGE, ["conv2_1", "conv_3", "relu1_2"])
    assert list(actual) == ["conv2_1", "conv_3", "relu1_2"]
    assert torch.equal(actual["conv2_1"], actual["conv_3"])


def test_vgg_relu_does_not_overwrite_the_convolution() -> None:
    backbone = VGG19(weights="random")
    backbone.build(["conv_2"])
    actual = backbone(IMAGE, ["conv_1", "relu_1", "conv_2"])
    assert actual["conv_1"].min() < 0
    assert torch.equal(actual["relu_1"], actual["conv_1"].relu())


def test_vgg_builds_only_the_needed_layers_without_gradients() -> None:
    backbone = VGG19(weights="random")
    backbone.build(["conv_3", "relu_1"])
    assert len(backbone.convolutions) == 3
    assert not any(p.requires_grad for p in backbone.parameters())


def test_vgg_random_weights_are_seeded() -> None:
    def compute_first_layer(seed: int) -> Tensor:
        backbone = VGG16(weights="random", seed=seed)
        backbone.build(["conv_1"])
        actual: Tensor = backbone(IMAGE, ["conv_1"])["conv_1"]
        return actual

    assert torch.equal(compute_first_layer(1), compute_first_layer(1))
    assert not torch.equal(compute_first_layer(1), compute_first_layer(2))


def create_oxford_tensors(depth: int) -> dict[str, Tensor]:
    """Returns weights in the shapes of VGG-19, with biases on the scale of inputs in 0..255."""
    generator = torch.Generator().manual_seed(9)
    widths = [3, 64, 64, 128, 128][: depth + 1]
    tensors = {}
    for index, (i, o) in zip([0, 2, 5, 7], pairwise(widths), strict=False):
        tensors[f"features.{index}.weight"] = torch.randn(o, i, 3, 3, generator=generator) * (2 / (9 * i)) ** 0.5
        tensors[f"features.{index}.bias"] = 10 * torch.randn(o, generator=generator)
    return tensors


def compute_original_oxford(tensors: dict[str, Tensor], image: Tensor) -> Tensor:
    """An independent version of the original network and its input: BGR, 0..255, minus the mean, not scaled."""
    value = 255 * image.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    indices = sorted({int(key.split(".")[1]) for key in tensors})
    for position, index in enumerate(indices):
        if index == 5:
            value = nn.functional.max_pool2d(value, 2)
        value = nn.functional.conv2d(
            value, tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"], padding=1
        )
        if position < len(indices) - 1:
            value = value.relu()
    return value


def test_vgg_oxford_preprocessing_equals_the_original_up_to_a_constant(tmp_path: Path) -> None:
    tensors = create_oxford_tensors(4)
    path = tmp_path / "oxford.safetensors"
    save_file(tensors, path)
    backbone = VGG19(weights=str(path), preprocessing="oxford")
    backbone.build(["conv_4"])
    torch.testing.assert_close(
        backbone(IMAGE, ["conv_4"])["conv_4"],
        compute_original_oxford(tensors, IMAGE) / (255 * 0.225),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.skipif(not OXFORD.exists(), reason="the real weights are not next to the project")
def test_vgg_with_real_oxford_weights_equals_the_original_up_to_a_constant() -> None:
    tensors = {k: v for k, v in load_file(OXFORD).items() if int(k.split(".")[1]) <= 7}
    backbone = VGG19(weights=str(OXFORD))
    backbone.build(["conv_4"])
    torch.testing.assert_close(
        backbone(IMAGE, ["conv_4"])["conv_4"],
        compute_original_oxford(tensors, IMAGE) / (255 * 0.225),
        rtol=1e-4,
        atol=1e-3,
    )


def test_vgg_average_pooling_is_doubled() -> None:
    pooled = {}
    for pooling in ("max", "avg"):
        backbone = VGG19(weights="random", pooling=pooling)
        backbone.build(["conv_3"])
        pooled[pooling] = backbone.rectify_and_pool(
            torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), may_overwrite=False
        ).item()
    assert pooled == {"max": 6.0, "avg": 2 * 3.0}


def test_vgg_padding_applies_to_the_first_convolution() -> None:
    flat = torch.full((1, 3, 8, 8), 0.9)
    actual = {}
    for padding in ("zeros", "replicate"):
        backbone = VGG19(weights="random", padding=padding)
        backbone.build(["conv_2"])
        actual[padding] = backbone(flat, ["conv_1", "conv_2"])
    # With replicated edges a constant picture stays constant in the first layer; with zeros only its inside does.
    assert actual["replicate"]["conv_1"].std(dim=(2, 3)).max() < 1e-5
    assert actual["zeros"]["conv_1"].std(dim=(2, 3)).max() > 1e-2
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(actual["zeros"]["conv_1"][inside], actual["replicate"]["conv_1"][inside])
    assert actual["replicate"]["conv_2"].std(dim=(2, 3)).max() > 1e-2


def test_vgg_smallest_size_doubles_with_each_pooling() -> None:
    backbone = VGG19(weights="random")
    sizes = {layer: backbone.smallest_size([layer]) for layer in ("conv_2", "conv_3", "conv_5", "conv_9", "conv_13")}
    assert sizes == {"conv_2": 1, "conv_3": 2, "conv_5": 4, "conv_9": 8, "conv_13": 16}
    backbone.build(["conv_13"])
    assert backbone(torch.rand(1, 3, 16, 16), ["conv_13"])["conv_13"].shape[-2:] == (1, 1)


def test_vgg_reads_a_truncated_file_up_to_its_last_layer(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    save_file(create_oxford_tensors(3), path, metadata={"flavor": "oxford"})
    VGG19(weights=str(path)).build(["conv_3"])
    with pytest.raises(InputError, match=r"weights up to conv_5 in .*short\.safetensors, but it has none for conv_4"):
        VGG19(weights=str(path)).build(["conv_5"])


def test_vgg_rejects_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(8, 3, 3, 3), "features.0.bias": torch.zeros(8)}, path)
    with pytest.raises(InputError, match=r"conv_1 has the shape \(8, 3, 3, 3\) instead of \(64, 3, 3, 3\)"):
        VGG19(weights=str(path), preprocessing="imagenet").build(["conv_1"])


def test_vgg_rejects_biases_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(8)}, path)
    with pytest.raises(InputError, match=r"conv_1 has the shape \(8,\) instead of \(64,\)"):
        VGG19(weights=str(path), preprocessing="imagenet").build(["conv_1"])


def test_vgg_requires_preprocessing_for_an_unlabeled_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(create_oxford_tensors(1), path)
    with pytest.raises(InputError, match=r"add --model\.backbone\.preprocessing imagenet or oxford"):
        VGG19(weights=str(path)).build(["conv_1"])


def test_vgg_rejects_unknown_layers_and_files() -> None:
    with pytest.raises(InputError, match=r"among conv_1 to conv_16 .* but got 'conv_17'"):
        VGG19(weights="random").build(["conv_17"])
    with pytest.raises(InputError, match=r"among conv_1 to conv_13 .* but got 'conv_14'"):
        VGG16(weights="random").build(["conv_14"])
    with pytest.raises(InputError, match="there is no file nowhere"):
        VGG19(weights="nowhere.pth").build(["conv_1"])
