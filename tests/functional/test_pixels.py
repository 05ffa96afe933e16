import pytest
import torch

from nst_lightning.functional.pixels import (
    mask_nearest_first,
    masked_squared_error,
    mean_squared_error,
    total_variation,
    warping_error,
)
from tests.helpers import random_tensor


def test_mean_squared_error_is_float32() -> None:
    value = torch.tensor([256.0, 1.0], dtype=torch.bfloat16)
    result = mean_squared_error(value, torch.tensor([255.0, 0.0]))
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(1.0)


def test_mean_squared_error_sums_bfloat16_in_float32() -> None:
    value, target = (torch.randn(1, 4, 50, 50, generator=torch.Generator().manual_seed(k)).bfloat16() for k in (1, 2))
    exact = (value.double() - target.double()).square().mean()
    torch.testing.assert_close(mean_squared_error(value, target).double(), exact, rtol=1e-3, atol=0)


def test_mean_squared_error_passes_gradcheck() -> None:
    target = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    value = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: mean_squared_error(x, target), value)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 0.5 + 0.25), (2.0, 0.25 + 0.0625)])
def test_total_variation_of_a_ramp_equals_its_slopes(exponent: float, expected: float) -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    ramp = (0.5 * rows - 0.25 * columns).expand(1, 3, 5, 7)
    assert total_variation(ramp, exponent).item() == pytest.approx(expected)


def test_total_variation_of_a_flat_image_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)) == 0


def test_total_variation_passes_gradcheck() -> None:
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total_variation, image)
    assert torch.autograd.gradcheck(lambda x: total_variation(x, 1.0), image)


def test_masked_squared_error_equals_a_naive_loop() -> None:
    value, target, mask = (
        random_tensor(2, 3, 4, 5),
        random_tensor(2, 3, 4, 5, seed=1),
        random_tensor(2, 1, 4, 5, seed=2),
    )
    expected = 0.0
    for b in range(2):
        for c in range(3):
            for y in range(4):
                for x in range(5):
                    difference = value[b, c, y, x] - target[b, c, y, x]
                    expected += float(mask[b, 0, y, x] * difference**2) / (3 * 4 * 5)
    torch.testing.assert_close(masked_squared_error(value, target, mask), torch.tensor(expected, dtype=torch.float64))


def test_masked_squared_error_passes_gradcheck() -> None:
    value = random_tensor(1, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: masked_squared_error(v, random_tensor(1, 3, 3, 4, seed=1), random_tensor(1, 1, 3, 4, seed=2)), value
    )


def test_masked_squared_error_with_a_full_mask_is_the_mean_squared_error() -> None:
    value, target = random_tensor(1, 3, 4, 5), random_tensor(1, 3, 4, 5, seed=1)
    actual = masked_squared_error(value, target, torch.ones(1, 1, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(actual, torch.nn.functional.mse_loss(value, target))


def test_mask_nearest_first_equals_equation_9_of_ruder() -> None:
    masks = [random_tensor(1, 1, 4, 5, seed=seed) for seed in range(3)]
    chosen = mask_nearest_first(masks)
    for j in range(3):
        expected = (masks[j] - sum(chosen[:j], torch.zeros_like(masks[j]))).clamp(min=0)
        torch.testing.assert_close(chosen[j], expected)
    assert torch.equal(chosen[0], masks[0])
    whole = torch.ones(1, 1, 2, 2)
    assert [float(mask.sum()) for mask in mask_nearest_first([whole, whole, whole])] == [4, 0, 0]
    half = torch.tensor([[[[1.0, 0.0]]]])
    assert [mask.flatten().tolist() for mask in mask_nearest_first([half, torch.ones(1, 1, 1, 2)])] == [[1, 0], [0, 1]]


def test_warping_error_equals_a_masked_root_mean_square() -> None:
    image, warped, mask = (
        random_tensor(1, 3, 4, 5),
        random_tensor(1, 3, 4, 5, seed=1),
        (random_tensor(1, 1, 4, 5, seed=2) > 0.5).double(),
    )
    squares, pixels = warping_error(image, warped, mask)
    kept = (image - warped)[mask.expand(1, 3, 4, 5) > 0]
    torch.testing.assert_close((squares / pixels).sqrt(), kept.square().mean().sqrt())
