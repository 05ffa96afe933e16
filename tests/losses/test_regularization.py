import pytest
import torch

from nst_lightning.losses import TotalVariationLoss
from tests.helpers import compute_term


def test_total_variation_loss_reads_the_image() -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[..., 1] = 0.5
    assert compute_term(TotalVariationLoss(weight=4.0), {"image": image}) == pytest.approx(4.0 * 0.25)
    assert compute_term(TotalVariationLoss(weight=4.0, exponent=1.0), {"image": image}) == pytest.approx(4.0 * 0.5)
