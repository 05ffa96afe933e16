from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nst_lightning.backbones import VGG19
from nst_lightning.distill.teachers import DISTILLED_LAYERS, CompressedVGG19, Teachers
from nst_lightning.errors import InputError


def test_teachers_require_a_file_for_deep_layers(teacher: Path) -> None:
    with pytest.raises(InputError, match="ends at conv_8"):
        Teachers(str(teacher))


def test_teachers_use_a_whole_vgg_for_every_layer(tmp_path: Path) -> None:
    network = VGG19(weights="random")
    network.build(["conv_14"])
    path = tmp_path / "whole.safetensors"
    save_file({name: tensor.detach() for name, tensor in network.named_weights()}, path, {"flavor": "imagenet"})
    image = torch.rand(1, 3, 32, 32)
    expected = network(image, DISTILLED_LAYERS)
    for layer, value in Teachers(str(path))(image).items():
        torch.testing.assert_close(value, expected[layer])


def test_teachers_reject_other_files(teacher: Path) -> None:
    with pytest.raises(InputError, match="compressed VGG-19"):
        CompressedVGG19(str(teacher))
