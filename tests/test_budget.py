from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS, Adam, Optimizer

from nst_lightning.backbones import VGG19
from nst_lightning.budget import check_memory, needed_bytes, optimizer_bytes
from nst_lightning.data import TransferData
from nst_lightning.errors import InputError
from nst_lightning.image import Picture
from nst_lightning.losses import GramLoss
from nst_lightning.module import StyleTransfer
from nst_lightning.plan import Plan
from tests.tiny import smooth_image


def adam(parameters: list[Tensor]) -> Optimizer:
    return Adam(parameters)


def module(
    layers: list[str], optimizer: Callable[[list[Tensor]], Optimizer] = adam, checkpointing: bool = False
) -> StyleTransfer:
    backbone = VGG19(weights="random", checkpointing=checkpointing)
    return StyleTransfer(backbone, {"style": GramLoss(layers)}, optimizer=optimizer)  # type: ignore[arg-type]


def data(size: int, height: int = 64) -> TransferData:
    picture = Picture(smooth_image(height, 64))
    return TransferData.from_pictures(picture, [picture], Plan(size=size))


def test_a_picture_that_does_not_fit_is_told_with_the_switches() -> None:
    with pytest.raises(
        InputError, match=r"about 5\.0 GB of which 3\.0 GB are free: lower data\.plan\.size.*checkpointing.*Adam"
    ):
        check_memory(5 * 10**9, 3 * 10**9)
    check_memory(5 * 10**9, 5 * 10**9)
    check_memory(5 * 10**9, None)


def test_what_is_needed_is_what_the_layers_keep() -> None:
    # Outputs of two convolutions of 64 channels are kept, and two such values made in passing; 12 bytes a pixel of the
    # image are kept 2 times by Adam and 4 times besides. The image and its border as the network sees it are small.
    pixels, values = 512**2, (2 + 2) * 64
    for precision, size in (("32-true", 4), ("bf16-mixed", 2)):
        needed = needed_bytes(module(["conv_2"]), data(512), precision)  # type: ignore[arg-type]
        assert needed / pixels == pytest.approx(size * values + 6 * 12, rel=0.1)


def test_checkpointing_needs_what_the_largest_block_keeps() -> None:
    # The network's image, outputs of the first two convolutions, and two such values made in passing; what the blocks
    # after them kept is gone by then.
    values = 3 + (2 + 2) * 64
    needed, without = (
        needed_bytes(module(["conv_13"], checkpointing=on), data(512, height=48), "bf16-mixed") for on in (True, False)
    )
    pixels = 512 * 384
    assert needed / pixels == pytest.approx(2 * values + 6 * 12, rel=0.1)
    assert needed < 0.7 * without


def test_it_grows_with_the_picture() -> None:
    small, large = (needed_bytes(module(["conv_3"]), data(size), "bf16-mixed") for size in (512, 1024))
    assert large == pytest.approx(4 * small, rel=0.05)


def test_small_and_narrow_pictures_are_not_asked_about() -> None:
    assert needed_bytes(module(["conv_2"]), data(256), "32-true") == 0
    assert needed_bytes(module(["conv_10"]), data(512, height=1), "32-true") == 0


def test_an_optimizer_keeps_what_it_keeps() -> None:
    image = torch.zeros(1, 3, 10, 10, requires_grad=True)
    assert optimizer_bytes(Adam([image]), image, 300) == 6 * 1200
    assert optimizer_bytes(LBFGS([image], history_size=20), image, 300) == 44 * 1200
    assert optimizer_bytes(LBFGS([image], history_size=20), image, 5) == 14 * 1200
