from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from nst_lightning.callbacks import (
    FiniteGuard,
)
from nst_lightning.errors import DivergedError
from nst_lightning.losses import ContentLoss
from tests.callbacks.fits import ShiftOptimizer, fit_module
from tests.helpers import ignore_lightning_warnings


class BrokenLoss(ContentLoss):
    """A content loss that is NaN from the given evaluation on."""

    def __init__(self, evaluation: int) -> None:
        super().__init__(["conv_1"])
        self.left = evaluation

    def layer_distances(self, features: Any) -> dict[str, Tensor]:
        self.left -= "conv_1" in features
        return {k: v * (float("nan") if self.left <= 0 else 1.0) for k, v in super().layer_distances(features).items()}


pytestmark = ignore_lightning_warnings


def test_finite_guard_keeps_the_last_finite_image() -> None:
    module_images: list[Tensor] = []

    class Keep(pl.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, *unused: Any) -> None:
            module_images.append(pl_module.image.detach().clone())

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            module_images.append(pl_module.image.detach().clone())

    with pytest.raises(DivergedError, match="it became nan at step 3"):
        fit_module(FiniteGuard(), Keep(), loss=BrokenLoss(3), steps=9)
    # The steps start with images 0, 1 and 2; the third evaluation fails, and its start is kept.
    assert len(module_images) == 4
    assert torch.equal(module_images[3], module_images[2])


def test_finite_guard_keeps_the_start_image_if_the_first_loss_is_nan() -> None:
    images: list[Tensor] = []

    class Keep(pl.Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            images.append(pl_module.image.detach().clone())

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            images.append(pl_module.image.detach().clone())

    with pytest.raises(DivergedError, match="at step 1"):
        fit_module(FiniteGuard(), Keep(), optimizer=lambda p: ShiftOptimizer(p, float("nan")))
    assert torch.equal(images[0], images[1])
