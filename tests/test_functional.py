import pytest
import torch
from torch import Tensor

from nst_lightning.functional import gram_matrix, mean_squared_error, total_variation


def naive_gram(features: Tensor) -> Tensor:
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, channels, dtype=features.dtype)
    for b in range(batch):
        for i in range(channels):
            for j in range(channels):
                result[b, i, j] = (features[b, i] * features[b, j]).sum() / (channels * height * width)
    return result


def test_gram_matrix_is_the_mean_of_products_of_channels() -> None:
    features = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(gram_matrix(features), naive_gram(features))


def test_gram_matrix_of_a_transposed_layout_is_the_same() -> None:
    features = torch.randn(1, 5, 4, 3)
    torch.testing.assert_close(
        gram_matrix(features.contiguous(memory_format=torch.channels_last)), gram_matrix(features)
    )


def test_gram_matrix_is_symmetric_and_positive_semidefinite() -> None:
    matrix = gram_matrix(torch.randn(1, 6, 2, 2, dtype=torch.float64))[0]
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


def test_gram_matrix_does_not_depend_on_the_arrangement() -> None:
    features = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    shuffled = features.flatten(2)[..., torch.randperm(36)].view_as(features)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gram_matrix_sums_half_precision_in_float32(dtype: torch.dtype) -> None:
    # In float16 the sum of squares of 300 over 64 x 64 positions is 3.7e8, far beyond its largest number of 65504.
    features = torch.full((1, 3, 64, 64), 300.0, dtype=dtype)
    matrix = gram_matrix(features)
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix, torch.full((1, 3, 3), 300.0**2 / 3))


def test_gram_matrix_is_exact_under_autocast() -> None:
    features = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix = gram_matrix(features)
    assert torch.equal(matrix, gram_matrix(features))


def test_gram_matrix_gradient() -> None:
    features = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram_matrix, features)


def test_mean_squared_error_is_taken_in_float32() -> None:
    value = torch.tensor([256.0, 1.0], dtype=torch.bfloat16)
    result = mean_squared_error(value, torch.tensor([255.0, 0.0]))
    assert result.dtype == torch.float32
    assert result == 1.0


def test_mean_squared_error_gradient() -> None:
    target = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    value = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: mean_squared_error(x, target), value)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 0.5 + 0.25), (2.0, 0.25 + 0.0625)])
def test_total_variation_of_a_ramp_is_its_slopes(exponent: float, expected: float) -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    ramp = (0.5 * rows - 0.25 * columns).expand(1, 3, 5, 7)
    assert total_variation(ramp, exponent).item() == pytest.approx(expected)


def test_total_variation_of_a_flat_image_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)) == 0


def test_total_variation_gradient() -> None:
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total_variation, image)
    assert torch.autograd.gradcheck(lambda x: total_variation(x, 1.0), image)
