import pytest
import torch
from torch import Tensor

from nst_lightning.functional import EXACT_POSITIONS, gram_matrix, mean_squared_error, powered, total_variation


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


def test_gram_matrix_sums_float16_in_float32() -> None:
    # In float16 the sum of squares of 300 over 64 x 64 positions is 3.7e8, far beyond its largest number of 65504.
    features = torch.full((1, 3, 64, 64), 300.0, dtype=torch.float16)
    matrix = gram_matrix(features)
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix, torch.full((1, 3, 3), 300.0**2 / 3))


@pytest.mark.parametrize("size", [(64, 64), (130, 70), (9, 5)])
def test_gram_matrix_of_bfloat16_is_exact_to_a_small_part_of_its_largest_entry(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(24, 24, 1, 1, generator=generator)
    features = torch.nn.functional.conv2d(torch.randn(2, 24, *size, generator=generator) + 0.5, mixing).bfloat16()
    matrix, exact = gram_matrix(features), naive_products(features.double())
    assert matrix.dtype == torch.float32
    worst = (matrix - exact).abs().max() / exact.max()
    # Beyond, parts are rounded to the 8 bits of bfloat16, which averages out.
    assert worst < (1e-6 if size[0] * size[1] <= EXACT_POSITIONS else 1e-3)
    assert torch.equal(matrix, gram_matrix(features))


def naive_products(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def test_gradient_of_a_gram_matrix_in_bfloat16_is_the_exact_one_rounded() -> None:
    features = torch.randn(2, 16, 40, 40, generator=torch.Generator().manual_seed(1)).bfloat16()
    direction = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(2))
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        given = features.to(dtype).detach().clone().requires_grad_()
        (gram_matrix(given) * direction).sum().backward()  # type: ignore[no-untyped-call]
        assert given.grad is not None
        gradients.append(given.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 0.005 * gradients[1].norm()


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
    assert result.item() == pytest.approx(1.0)


def test_mean_squared_error_of_bfloat16_is_summed_in_float32() -> None:
    value, target = (torch.randn(1, 4, 50, 50, generator=torch.Generator().manual_seed(k)).bfloat16() for k in (1, 2))
    exact = (value.double() - target.double()).square().mean()
    torch.testing.assert_close(mean_squared_error(value, target).double(), exact, rtol=1e-3, atol=0)


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


def test_powers_of_matrices_are_relative_to_the_largest_eigenvalue() -> None:
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))).Q
    matrix = (basis * torch.tensor([8.0, 4.0, 2.0, 1e-9], dtype=torch.float64)) @ basis.T
    found = powered(matrix[None].float(), -0.5, floor=0.01)[0].double()
    expected = (basis * torch.tensor([1.0, 2**0.5, 2.0, 10.0], dtype=torch.float64)) @ basis.T
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(powered(torch.zeros(1, 3, 3), -0.5, floor=0.01)[0], torch.eye(3))
