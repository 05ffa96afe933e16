from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.backbones.slim import SHIPPED_WEIGHTS, SLIM_DEPTHS
from nst_lightning.distill.crops import find_photographs, read_photograph
from nst_lightning.distill.fidelity import pair_distances
from nst_lightning.errors import InputError
from nst_lightning.losses import ContentLoss, GramLoss
from tests.helpers import OXFORD, SHARED, compute_term, set_target

LAYERS = [f"conv_{number}" for number in range(1, 14)]
IMAGE = torch.rand(1, 3, 48, 32, generator=torch.Generator().manual_seed(3))


def create_slim(layers: list[str] = LAYERS, weights: str | None = None) -> SlimVGG19:
    backbone = SlimVGG19(weights)
    backbone.build(layers)
    return backbone


def count_operations(backbone: Backbone, layer: str, size: int) -> int:
    backbone.build([layer])
    with torch.device("meta"):
        image = torch.empty(1, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        backbone.to("meta")(image, [layer])
    return int(counter.get_total_flops())


def test_slim_has_the_layers_of_vgg19_up_to_conv5_1() -> None:
    names = VGG19(weights="random").layer_names
    assert SlimVGG19().layer_names == names[: names.index("conv_14")]


@pytest.mark.parametrize("layer", ["conv_14", "relu_16", "conv5_2", "relu5_4"])
def test_slim_names_vgg19_in_the_error_for_deeper_layers(layer: str) -> None:
    with pytest.raises(InputError, match=f"{layer}.*VGG19 for deeper"):
        SlimVGG19().build([layer])


def test_slim_rejects_unknown_layers() -> None:
    with pytest.raises(InputError, match="among conv_1 to conv_13"):
        SlimVGG19().build(["conv_99"])


def test_slim_features_have_the_sizes_of_vgg19() -> None:
    actual = create_slim()(IMAGE, LAYERS)
    expected = VGG19(weights="random")
    expected.build(LAYERS)
    sizes = expected(IMAGE, LAYERS)
    assert all(actual[layer].shape[2:] == sizes[layer].shape[2:] for layer in LAYERS)


def test_slim_block_names_equal_numbers() -> None:
    actual = create_slim(["conv_6", "relu_6"])(IMAGE, ["conv_6", "conv3_2", "relu_6", "relu3_2"])
    assert torch.equal(actual["conv_6"], actual["conv3_2"])
    assert torch.equal(actual["relu_6"], actual["relu3_2"])
    assert not torch.equal(actual["conv_6"], actual["relu_6"])


def test_slim_features_are_independent_of_other_requested_layers() -> None:
    assert torch.equal(create_slim(["conv_3"])(IMAGE, ["conv_3"])["conv_3"], create_slim()(IMAGE, LAYERS)["conv_3"])


def test_slim_has_a_gradient_only_for_the_image() -> None:
    image = IMAGE.clone().requires_grad_()
    backbone = create_slim(["conv_5"])
    backbone(image, ["conv_5"])["conv_5"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone.state_dict()


def test_slim_weights_file_is_small_and_float16() -> None:
    assert SHIPPED_WEIGHTS.stat().st_size <= 4_000_000
    assert {tensor.dtype for tensor in load_file(SHIPPED_WEIGHTS).values()} == {torch.float16}


def test_slim_needs_a_sixth_of_the_operations() -> None:
    assert count_operations(SlimVGG19(), "conv_10", 512) * 6 <= count_operations(
        VGG19(weights="random"), "conv_10", 512
    )


def create_tensors(width: int) -> dict[str, torch.Tensor]:
    """Returns weights of a network in which all layers have the same number of channels."""
    previous, tensors = 3, dict[str, torch.Tensor]()
    for number in range(1, sum(SLIM_DEPTHS) + 1):
        name = SlimVGG19()._name_in_file(number)
        tensors |= {f"{name}.weight": torch.randn(width, previous, 3, 3), f"{name}.bias": torch.zeros(width)}
        for kind in ("conv", "relu"):
            tensors[f"{kind}_{number}.weight"] = torch.eye(width)[:, :, None, None].contiguous()
            tensors[f"{kind}_{number}.bias"] = torch.zeros(width)
        previous = width
    return tensors


def test_slim_reads_wider_weights(tmp_path: Path) -> None:
    path, width = tmp_path / "wide.safetensors", 20
    save_file(create_tensors(width), path)
    backbone = create_slim(["conv_9"], str(path))
    assert backbone(IMAGE, ["conv_9"])["conv_9"].shape[1] == width
    assert backbone.channel_ratio("conv_9") == 512 / width


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv_1.weight", (4, 4, 1)),
        ("conv_1.weight", (4,) + 11 * (1,)),
        ("conv_2.weight", (4, 3, 1, 1)),
        ("relu_3.bias", (3,)),
        ("relu_3.bias", (2, 2)),
        ("features.0.bias", ()),
        ("features.0.bias", (0,)),
        ("features.2.bias", (2, 2)),
        ("features.2.weight", (4, 4, 3)),
    ],
)
def test_slim_rejects_weights_of_other_shapes(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / "damaged.safetensors"
    save_file(create_tensors(4) | {name: torch.zeros(shape)}, path)
    with pytest.raises(InputError, match=r"Expected weights .*damaged\.safetensors, but"):
        create_slim(weights=str(path))


def test_slim_rejects_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="made by `distill`"):
        create_slim(weights=str(path))


def test_gram_loss_scales_with_the_channel_ratio_of_slim() -> None:
    """Two copies of every channel change neither the content term nor the scaled Gram term."""
    generator = torch.Generator().manual_seed(1)
    image, target = torch.randn(2, 1, 3, 8, 8, generator=generator)
    for channel_ratio, copies in ((2.0, 1), (1.0, 2)):
        losses = [ContentLoss(["conv_1"]), GramLoss(["conv_1"])]
        for loss in losses:
            loss.set_channel_ratios(lambda layer, channel_ratio=channel_ratio: channel_ratio)  # type: ignore[misc]
            set_target(loss, {"conv_1": target.repeat(1, copies, 1, 1)})
        values = [compute_term(loss, {"conv_1": image.repeat(1, copies, 1, 1)}) for loss in losses]
        if copies == 1:
            expected = values
    torch.testing.assert_close(values, expected)


@pytest.mark.skipif(not OXFORD.exists(), reason="the real weights are not next to the project")
@pytest.mark.parametrize("kind", ["conv", "relu"])
def test_loss_values_of_slim_are_close_to_vgg19(kind: str) -> None:
    layers = [f"{kind}_{number}" for number in range(1, 9)]
    folders = [str(SHARED / "images" / name) for name in ("content", "style")]
    crops = torch.cat([read_photograph(path)[..., :256, :256] for path in find_photographs(folders)])
    real = VGG19(weights=str(OXFORD))
    real.build(layers)
    thin = create_slim(layers)
    with torch.no_grad():
        actual, expected = thin(crops, layers), real(crops, layers)
    for layer in layers:
        for value, aim in zip(
            pair_distances(actual[layer], thin.channel_ratio(layer)), pair_distances(expected[layer], 1.0), strict=True
        ):
            assert 1 / 1.5 < float((value / aim).log().mean().exp()) < 1.5, layer
