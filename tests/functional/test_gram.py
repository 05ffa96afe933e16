import pytest
import torch
from torch import Tensor

from nst_lightning.functional import gram
from nst_lightning.functional.gram import (
    EXACT_POSITIONS,
    PositionWeights,
    gram_matrix,
    matrix_power,
    mean_and_products,
    moments,
    pull_moments,
)


def compute_naive_gram(features: Tensor) -> Tensor:
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, channels, dtype=features.dtype)
    for b in range(batch):
        for i in range(channels):
            for j in range(channels):
                result[b, i, j] = (features[b, i] * features[b, j]).sum() / (channels * height * width)
    return result


def test_gram_matrix_equals_mean_products_of_channels() -> None:
    features = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(gram_matrix(features), compute_naive_gram(features))


def test_gram_matrix_is_independent_of_memory_layout() -> None:
    features = torch.randn(1, 5, 4, 3)
    torch.testing.assert_close(
        gram_matrix(features.contiguous(memory_format=torch.channels_last)), gram_matrix(features)
    )


def test_gram_matrix_is_symmetric_and_positive_semidefinite() -> None:
    matrix = gram_matrix(torch.randn(1, 6, 2, 2, dtype=torch.float64))[0]
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


@pytest.mark.parametrize("channels", [255, 256, 259])
def test_gram_matrix_in_blocks_equals_the_whole_product(channels: int) -> None:
    features = torch.randn(2, channels, 5, 3, dtype=torch.float64)
    rows = features.flatten(2)
    torch.testing.assert_close(gram_matrix(features), rows @ rows.mT / rows[0].numel())


def test_gram_matrix_is_independent_of_positions() -> None:
    features = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    shuffled = features.flatten(2)[..., torch.randperm(36)].view_as(features)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))


def test_gram_matrix_sums_float16_in_float32() -> None:
    # In float16 the sum of squares of 300 over 64 x 64 positions is 3.7e8, more than its largest number, 65504.
    features = torch.full((1, 3, 64, 64), 300.0, dtype=torch.float16)
    matrix = gram_matrix(features)
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix, torch.full((1, 3, 3), 300.0**2 / 3))


@pytest.mark.parametrize("size", [(64, 64), (130, 70), (9, 5)])
def test_gram_matrix_of_bfloat16_is_close_to_float64(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(24, 24, 1, 1, generator=generator)
    features = torch.nn.functional.conv2d(torch.randn(2, 24, *size, generator=generator) + 0.5, mixing).bfloat16()
    matrix, exact = gram_matrix(features), compute_naive_products(features.double())
    assert matrix.dtype == torch.float32
    worst = (matrix - exact).abs().max() / exact.max()
    # Larger parts are rounded to the 8 bits of bfloat16, which averages out.
    assert worst < (1e-6 if size[0] * size[1] <= EXACT_POSITIONS else 1e-3)
    assert torch.equal(matrix, gram_matrix(features))


def compute_naive_products(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def test_gram_matrix_gradient_in_bfloat16_is_the_rounded_exact_gradient() -> None:
    features = torch.randn(2, 16, 40, 40, generator=torch.Generator().manual_seed(1)).bfloat16()
    direction = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(2))
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        value = features.to(dtype).detach().clone().requires_grad_()
        (gram_matrix(value) * direction).sum().backward()  # type: ignore[no-untyped-call]
        assert value.grad is not None
        gradients.append(value.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 0.005 * gradients[1].norm()


def test_gram_matrix_is_exact_under_autocast() -> None:
    features = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix = gram_matrix(features)
    assert torch.equal(matrix, gram_matrix(features))


def test_gram_matrix_passes_gradcheck() -> None:
    features = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram_matrix, features)


def create_features_with_means() -> Tensor:
    return torch.randn(2, 6, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.7


def test_moments_equal_means_of_channels_and_products() -> None:
    features = create_features_with_means()
    matrix = moments(features)
    mean, products = mean_and_products(matrix)
    torch.testing.assert_close(mean, features.mean(dim=(2, 3)))
    torch.testing.assert_close(products, 6 * gram_matrix(features))
    torch.testing.assert_close(matrix, matrix.mT)
    assert matrix[:, -1, -1].tolist() == [1, 1]
    assert torch.autograd.gradcheck(moments, features.requires_grad_())


def test_moments_of_bfloat16_equal_gram_matrix_with_a_channel_of_ones() -> None:
    features = torch.randn(1, 16, 90, 81, generator=torch.Generator().manual_seed(1)).bfloat16() + 1
    ones = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    torch.testing.assert_close(moments(features), 17 * gram_matrix(ones), rtol=0, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_means_can_be_left_out_of_moments(dtype: torch.dtype) -> None:
    features = create_features_with_means().to(dtype)
    expected = moments(features)
    expected[:, -1], expected[:, :, -1] = 0, 0
    actual = moments(features, with_means=False)
    torch.testing.assert_close(actual, expected)
    assert actual.dtype == expected.dtype


@pytest.mark.parametrize("with_means", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_pulled_gradient_is_that_of_the_moments(with_means: bool, weighted: bool) -> None:
    features = create_features_with_means()[:1].to(memory_format=torch.channels_last).requires_grad_()
    values = torch.rand(1, 1, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = PositionWeights(values, float(values.sum())) if weighted else None
    count = weights.total if weights is not None else 35
    slope = torch.randn(1, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    if not with_means:
        slope[:, :, -1], slope[:, -1] = 0, 0
    expected = torch.autograd.grad((slope * moments(features, weights, True)).sum(), features)[0]
    pulled = pull_moments(features, slope / count, weights=weights, with_means=with_means)
    torch.testing.assert_close(torch.autograd.grad(pulled, features)[0], expected)


@pytest.mark.parametrize("with_means", [True, False])
@pytest.mark.parametrize("strip_bytes", [1, 1000, 10**9])
def test_moments_of_a_part_need_no_copy_of_it(
    with_means: bool, strip_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gram, "COPIED_BYTES", strip_bytes)
    features = torch.cat([create_features_with_means()] * 2, 3).contiguous(memory_format=torch.channels_last)
    part = features[..., 1:4, 2:9]
    torch.testing.assert_close(moments(part, with_means=with_means), moments(part.clone(), with_means=with_means))


def test_matrix_power_is_relative_to_the_largest_eigenvalue() -> None:
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))).Q
    matrix = (basis * torch.tensor([8.0, 4.0, 2.0, 1e-9], dtype=torch.float64)) @ basis.T
    actual = matrix_power(matrix[None].float(), -0.5, floor=0.01)[0].double()
    expected = (basis * torch.tensor([1.0, 2**0.5, 2.0, 10.0], dtype=torch.float64)) @ basis.T
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(matrix_power(torch.zeros(1, 3, 3), -0.5, floor=0.01)[0], torch.eye(3))
