import pytest
import torch

from nst_lightning.functional.gram import matrix_power
from nst_lightning.functional.pixels import mean_squared_error, total_variation


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


def test_matrix_power_is_relative_to_the_largest_eigenvalue() -> None:
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))).Q
    matrix = (basis * torch.tensor([8.0, 4.0, 2.0, 1e-9], dtype=torch.float64)) @ basis.T
    found = matrix_power(matrix[None].float(), -0.5, floor=0.01)[0].double()
    expected = (basis * torch.tensor([1.0, 2**0.5, 2.0, 10.0], dtype=torch.float64)) @ basis.T
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(matrix_power(torch.zeros(1, 3, 3), -0.5, floor=0.01)[0], torch.eye(3))
