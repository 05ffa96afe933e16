from typing import Any

import torch

from tests.callbacks.fits import ShiftOptimizer, fit_module
from tests.helpers import ignore_lightning_warnings


class ShiftLBFGS(torch.optim.LBFGS):
    """A subclass of L-BFGS that adds 1 to every pixel at each step."""

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(1.0)
        return loss


pytestmark = ignore_lightning_warnings


def test_image_is_clipped_with_a_first_order_optimizer() -> None:
    assert fit_module(optimizer=lambda p: ShiftOptimizer(p, 1.0)).image.detach().max() == 1
    assert fit_module(optimizer=lambda p: ShiftOptimizer(p, -1.0)).image.detach().min() == 0


def test_image_is_not_clipped_with_lbfgs() -> None:
    assert fit_module(optimizer=ShiftLBFGS).image.detach().max() > 3
