import pytest
import torch
from torch.nn import functional

from nst_lightning.functional.periodic import interpolate_periodic, pad_periodic
from tests.helpers import random_tensor


def test_pad_periodic_equals_a_naive_loop_also_beyond_the_image() -> None:
    image = random_tensor(2, 3, 4, 5)
    actual = pad_periodic(image, 6, 1)
    assert actual.shape == (2, 3, 16, 7)
    for row in range(16):
        for column in range(7):
            assert torch.equal(actual[..., row, column], image[..., (row - 6) % 4, (column - 1) % 5])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(12, 16), (24, 32), (6, 8), (3, 2), (18, 11), (12, 7)])
def test_interpolate_periodic_equals_that_of_nine_tiles(height: int, width: int, mode: str) -> None:
    image = random_tensor(1, 3, 12, 16)
    laid = functional.interpolate(image.repeat(1, 1, 3, 3), size=(3 * height, 3 * width), mode=mode, antialias=True)
    expected = laid[..., height : 2 * height, width : 2 * width]
    torch.testing.assert_close(interpolate_periodic(image, height, width, mode), expected)


@pytest.mark.parametrize(("height", "width", "factor"), [(24, 32, 2.0), (6, 8, 0.5)])
def test_interpolate_periodic_commutes_with_shifts(height: int, width: int, factor: float) -> None:
    image = random_tensor(1, 3, 12, 16)
    shifted = interpolate_periodic(image.roll((4, 6), (2, 3)), height, width, "bicubic")
    expected = interpolate_periodic(image, height, width, "bicubic").roll((int(4 * factor), int(6 * factor)), (2, 3))
    torch.testing.assert_close(shifted, expected)


def test_interpolate_periodic_passes_gradcheck() -> None:
    image = random_tensor(1, 2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: interpolate_periodic(x, 2, 3, "bilinear"), image)
    assert torch.autograd.gradcheck(lambda x: interpolate_periodic(x, 6, 7, "bicubic"), image)
