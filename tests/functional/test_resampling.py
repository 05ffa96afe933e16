import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.functional.resampling import resample, resample_box, resampling_matrix
from tests.helpers import random_tensor

VALUE = random_tensor(1, 2, 50, 47, seed=1)
SIZES = [(50, 47), (25, 23), (12, 11), (33, 31), (101, 93), (60, 20), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_part_of_a_map_is_resampled_as_the_whole_map(size: tuple[int, int]) -> None:
    whole = resample(VALUE, *size)
    assert tuple(whole.shape[-2:]) == size
    # The second half of the rows, and all columns but the first eighth.
    box = size[0] // 2, size[0], size[1] // 8, size[1]
    top, left = 50 * box[0] // size[0] - 2, 47 * box[2] // size[1] - 2
    top, left = max(0, top), max(0, left)
    actual = resample_box(VALUE[..., top:, left:], (top, left), (50, 47), size, box)
    torch.testing.assert_close(actual, whole[..., box[0] : box[1], box[2] : box[3]], rtol=1e-12, atol=1e-13)


def test_resampling_averages_or_interpolates() -> None:
    torch.testing.assert_close(resample(VALUE, 33, 31), functional.adaptive_avg_pool2d(VALUE, (33, 31)))
    torch.testing.assert_close(resample(VALUE, 25, 47), functional.avg_pool2d(VALUE, (2, 1)))
    ramp = torch.linspace(0, 1, 5, dtype=torch.float64).expand(1, 1, 4, 5)
    expected = ((torch.arange(10) + 0.5) / 2 - 0.5).clamp(0, 4).double() / 4
    torch.testing.assert_close(resample(ramp, 8, 10), expected.expand(1, 1, 8, 10))


@pytest.mark.parametrize(("inputs", "outputs", "is_linear"), [(50, 33, False), (12, 25, True), (7, 7, False)])
def test_rows_of_a_resampling_matrix_are_weights(inputs: int, outputs: int, is_linear: bool) -> None:
    first, matrix = resampling_matrix(inputs, outputs, range(2, outputs), is_linear)
    assert matrix.shape == (outputs - 2, inputs - first)
    assert matrix.min() >= 0
    torch.testing.assert_close(matrix.sum(1), torch.ones(outputs - 2, dtype=torch.float64))


def test_gradient_of_resampling_a_part() -> None:
    def compute(part: Tensor) -> Tensor:
        return resample_box(part, (3, 2), (12, 9), (25, 20), (10, 14, 6, 11))

    assert torch.autograd.gradcheck(compute, (random_tensor(1, 2, 6, 5, seed=2).requires_grad_(),))


def test_half_precision_is_kept() -> None:
    part = VALUE.bfloat16()
    actual = resample_box(part, (0, 0), (50, 47), (101, 93), (0, 101, 0, 93))
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual, resample(part, 101, 93), rtol=0.01, atol=0.01)
