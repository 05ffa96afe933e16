import torch
from torch import Tensor

from nst_lightning.backbones import VGG19
from nst_lightning.backbones.checkpointed import measure_checkpointed
from nst_lightning.backbones.features import Features
from tests.helpers import smooth_image

PICTURE = smooth_image(27, 22, seed=1)


def test_measure_checkpointed_measures_each_requested_layer() -> None:
    def measure(features: Features) -> dict[str, Tensor]:
        return {layer: value.square().sum() for layer, value in features.items()}

    layers = ["conv_1", "conv1_1", "relu_2", "conv_6"]
    backbone = VGG19(weights="random", checkpointing=True)
    backbone.build(layers)
    image = PICTURE.clone().requires_grad_()
    actual = measure_checkpointed(backbone, image, layers, measure)
    plain = measure(backbone(image, layers))
    assert set(actual) == set(layers)
    assert all(torch.equal(actual[layer], plain[layer]) for layer in layers)
    # A layer that nothing depends on has no gradient.
    gradients = [torch.autograd.grad(each["conv1_1"] + each["conv_6"], image)[0] for each in (actual, plain)]
    torch.testing.assert_close(*gradients)


def test_measure_checkpointed_supports_trainable_networks() -> None:
    backbone = VGG19(weights="random", checkpointing=True)
    backbone.build(["conv_2"])
    backbone.requires_grad_(True)
    image = PICTURE.clone().requires_grad_()
    actual = measure_checkpointed(backbone, image, ["conv_2"], lambda features: {"sum": features["conv_2"].sum()})
    actual["sum"].backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in backbone.parameters())
