import pytest
import torch

from nst_lightning.functional.shares import fill_rest, share_pixels
from tests.helpers import random_tensor

WEIGHTS = [1.0, 0.5, 0.0]


@pytest.mark.parametrize("leaves_rest", [False, True])
def test_shares_equal_a_naive_loop(leaves_rest: bool) -> None:
    masks = random_tensor(3, 1, 4, 5)
    masks[:, 0, 0, 0] = 0
    actual = share_pixels(masks, WEIGHTS, leaves_rest)
    for row in range(4):
        for column in range(5):
            pixel = [float(mask) for mask in masks[:, 0, row, column]]
            total = sum(weight * value for weight, value in zip(WEIGHTS, pixel, strict=True))
            factor = max(pixel[:2]) if leaves_rest else 1.0
            expected = [
                factor * weight * value / total if total else 0.0 for weight, value in zip(WEIGHTS, pixel, strict=True)
            ]
            if not total and not leaves_rest:
                expected = [weight / sum(WEIGHTS) for weight in WEIGHTS]
            torch.testing.assert_close(actual[:, 0, row, column], torch.tensor(expected, dtype=torch.float64))


def test_shares_sum_to_one_or_to_the_largest_mask() -> None:
    masks = random_tensor(4, 1, 6, 6)
    ones = torch.ones(1, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(share_pixels(masks, [1, 2, 3, 4]).sum(0), ones)
    torch.testing.assert_close(share_pixels(masks, [1, 2, 3, 4], leaves_rest=True).sum(0), masks.amax(0))


def test_shares_of_hard_masks_are_exact_whatever_the_weights() -> None:
    first = torch.zeros(1, 4, 4).index_fill_(2, torch.tensor([0, 1]), 1)
    masks = torch.stack([first, 1 - first])
    for leaves_rest in (False, True):
        assert torch.equal(share_pixels(masks, [3.0, 0.1], leaves_rest), masks)


def test_rest_is_what_the_other_masks_leave_free() -> None:
    masks = random_tensor(3, 1, 4, 4)
    for number in range(3):
        others = [masks[n] for n in range(3) if n != number]
        expected = torch.maximum(masks[number], 1 - torch.maximum(*others))
        filled = fill_rest(masks, number)
        assert torch.equal(filled[number], expected)
        assert all(torch.equal(filled[n], masks[n]) for n in range(3) if n != number)
    assert torch.equal(fill_rest(masks[:1], 0), torch.ones(1, 1, 4, 4, dtype=torch.float64))


def test_gradients_are_correct() -> None:
    masks = (0.1 + 0.8 * random_tensor(3, 1, 2, 3)).requires_grad_()
    for leaves_rest in (False, True):
        assert torch.autograd.gradcheck(lambda given, rest=leaves_rest: share_pixels(given, WEIGHTS, rest), masks)
    assert torch.autograd.gradcheck(lambda given: fill_rest(given, 1), masks)


def test_gradient_is_finite_where_all_masks_are_0() -> None:
    masks = torch.zeros(2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(share_pixels(masks, [1.0, 1.0]).sum(), masks)
    assert gradient.isfinite().all()
