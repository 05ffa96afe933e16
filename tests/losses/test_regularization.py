import pytest
import torch

from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import measure_smoothness
from nst_lightning.losses import GrainAwareTotalVariationLoss, TotalVariationLoss
from tests.helpers import compute_term, random_image, set_target, smooth_image


def test_total_variation_loss_reads_the_image() -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[..., 1] = 0.5
    assert compute_term(TotalVariationLoss(weight=4.0), {"image": image}) == pytest.approx(4.0 * 0.25)
    assert compute_term(TotalVariationLoss(weight=4.0, exponent=1.0), {"image": image}) == pytest.approx(4.0 * 0.5)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_grain_aware_total_variation_is_that_of_the_image_times_the_smoothness_of_the_style(exponent: float) -> None:
    image, style = {"image": random_image(8, 8)}, {"image": smooth_image(18, 22)}
    loss = GrainAwareTotalVariationLoss(weight=4.0, exponent=exponent)
    set_target(loss, style)
    factor = measure_smoothness(style["image"])
    assert 0.1 < factor < 1
    expected = factor * compute_term(TotalVariationLoss(weight=4.0, exponent=exponent), image)
    torch.testing.assert_close(compute_term(loss, image), expected)


def test_grain_aware_total_variation_switches_off_for_grain_only() -> None:
    image = {"image": random_image(8, 8)}
    loss = GrainAwareTotalVariationLoss(weight=4.0)
    set_target(loss, {"image": random_image(40, 40, seed=1)})
    assert compute_term(loss, image) == pytest.approx(0, abs=1e-6)
    set_target(loss, {"image": torch.full((1, 3, 40, 40), 0.5)})
    torch.testing.assert_close(compute_term(loss, image), compute_term(TotalVariationLoss(weight=4.0), image))


def test_grain_aware_total_variation_rejects_an_exponent_below_one() -> None:
    with pytest.raises(InputError, match="`exponent` to be 1 or more"):
        GrainAwareTotalVariationLoss(exponent=0.5)
