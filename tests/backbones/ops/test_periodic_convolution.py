import pytest
import torch
from torch.nn import functional

from nst_lightning.backbones.ops.periodic_convolution import periodic_convolution, plain_padded_convolution
from tests.helpers import random_normal


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 1, 4), (1, 3, 2, 2), (2, 3, 5, 6)])
def test_periodic_convolution_equals_the_plain_one(shape: tuple[int, ...], rectified: bool) -> None:
    value, weight, bias = random_normal(*shape), random_normal(4, 3, 3, 3), random_normal(4)
    value = (functional.relu(value) if rectified else value).requires_grad_()
    actual, expected = (
        periodic_convolution(value, weight, bias, rectified),
        plain_padded_convolution(value, weight, bias),
    )
    torch.testing.assert_close(actual, expected)
    direction = random_normal(*actual.shape)
    torch.testing.assert_close(*(torch.autograd.grad(result, value, direction)[0] for result in (actual, expected)))


def test_periodic_convolution_equals_a_naive_loop() -> None:
    value, weight, bias = random_normal(1, 2, 3, 4), random_normal(5, 2, 3, 3), random_normal(5)
    actual, rectified = periodic_convolution(value, weight, bias), value.clamp_min(0)
    for y in range(3):
        for x in range(4):
            expected = bias.clone()
            for down in range(3):
                for across in range(3):
                    expected += weight[:, :, down, across] @ rectified[0, :, (y + down - 1) % 3, (x + across - 1) % 4]
            torch.testing.assert_close(actual[0, :, y, x], expected)


def test_periodic_convolution_passes_gradcheck() -> None:
    value, weight, bias = random_normal(2, 3, 3, 4).requires_grad_(), random_normal(4, 3, 3, 3), random_normal(4)
    assert torch.autograd.gradcheck(lambda value: periodic_convolution(value, weight, bias), value)


def test_replicate_padding_repeats_the_edge() -> None:
    value, weight, bias = random_normal(1, 2, 4, 5), random_normal(3, 2, 3, 3), random_normal(3)
    rows, columns = torch.tensor([0, 0, 1, 2, 3, 3]), torch.tensor([0, 0, 1, 2, 3, 4, 4])
    expected = functional.conv2d(value.clamp_min(0)[:, :, rows][..., columns], weight, bias)
    torch.testing.assert_close(plain_padded_convolution(value, weight, bias, "replicate"), expected)
