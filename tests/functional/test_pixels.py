import math

import pytest
import torch

from nst_lightning.functional.pixels import (
    average_pool,
    laplacian,
    mask_nearest_first,
    masked_squared_error,
    mean_squared_error,
    measure_smoothness,
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


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0])
def test_periodic_total_variation_equals_a_naive_loop(exponent: float) -> None:
    image = random_tensor(2, 3, 4, 5)
    expected = sum(
        float((image[n, c, (y + down) % 4, (x + across) % 5] - image[n, c, y, x]).abs() ** exponent) / image.numel()
        for n in range(2)
        for c in range(3)
        for y in range(4)
        for x in range(5)
        for down, across in ((1, 0), (0, 1))
    )
    assert total_variation(image, exponent, periodic=True).item() == pytest.approx(expected)
    shifted = total_variation(image.roll((1, 2), (2, 3)), exponent, periodic=True)
    torch.testing.assert_close(shifted, total_variation(image, exponent, periodic=True))
    variable = image.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, exponent, periodic=True), variable)


def test_smoothness_equals_the_formula() -> None:
    image = 0.2 * random_tensor(1, 3, 6, 7)
    energies = sorted(
        float((image[0, c, y + 1, x] - image[0, c, y, x]) ** 2 + (image[0, c, y, x + 1] - image[0, c, y, x]) ** 2) / 2
        for c in range(3)
        for y in range(5)
        for x in range(6)
    )
    expected = 1 / (1 + math.exp(1e4 * energies[(len(energies) - 1) // 2] - 25))
    assert measure_smoothness(image).item() == pytest.approx(expected)


def test_smoothness_falls_with_grain_and_ignores_edges() -> None:
    flat, noise = torch.full((1, 3, 32, 32), 0.5), random_tensor(1, 3, 32, 32).float() - 0.5
    edge = flat.clone()
    edge[..., 16:] = 1
    values = [float(measure_smoothness(flat + strength * noise)) for strength in (0.0, 0.1, 0.2, 1.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1)
    assert values[-1] == pytest.approx(0)
    assert measure_smoothness(edge) == measure_smoothness(flat)


def test_laplacian_equals_a_naive_loop() -> None:
    image = random_tensor(2, 3, 4, 5)
    actual = laplacian(image)
    assert actual.shape == (2, 1, 4, 5)
    summed = image.sum(1)
    for y in range(4):
        for x in range(5):
            neighbors = ((max(y - 1, 0), x), (min(y + 1, 3), x), (y, max(x - 1, 0)), (y, min(x + 1, 4)))
            expected = sum(summed[:, y, x] - summed[:, v, h] for v, h in neighbors)
            torch.testing.assert_close(actual[:, 0, y, x], expected)


def test_periodic_laplacian_equals_a_naive_loop_and_passes_gradcheck() -> None:
    image = random_tensor(2, 3, 4, 5)
    actual, summed = laplacian(image, periodic=True), image.sum(1)
    for y in range(4):
        for x in range(5):
            neighbors = (((y - 1) % 4, x), ((y + 1) % 4, x), (y, (x - 1) % 5), (y, (x + 1) % 5))
            expected = sum(summed[:, y, x] - summed[:, v, h] for v, h in neighbors)
            torch.testing.assert_close(actual[:, 0, y, x], expected)
    shifted = laplacian(image.roll((1, 2), (2, 3)), periodic=True)
    torch.testing.assert_close(shifted, actual.roll((1, 2), (2, 3)))
    assert torch.autograd.gradcheck(lambda x: laplacian(x, periodic=True), image.requires_grad_())


def test_laplacian_does_not_see_a_change_of_brightness() -> None:
    image = random_tensor(1, 3, 6, 6)
    torch.testing.assert_close(laplacian(image + 0.3), laplacian(image))
    torch.testing.assert_close(laplacian(image).sum(), torch.zeros(()).double())


def test_laplacian_and_average_pool_pass_gradcheck() -> None:
    image = random_tensor(1, 3, 5, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: laplacian(average_pool(x, 2)), image)


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_average_pool_equals_a_naive_loop(length: int) -> None:
    image = random_tensor(1, 2, 5, 7)
    actual = average_pool(image, length)
    assert actual.shape == (1, 2, math.ceil(5 / length), math.ceil(7 / length))
    for y in range(actual.shape[2]):
        for x in range(actual.shape[3]):
            block = image[..., y * length : (y + 1) * length, x * length : (x + 1) * length]
            torch.testing.assert_close(actual[..., y, x], block.mean((2, 3)))


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
