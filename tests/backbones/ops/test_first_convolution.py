import pytest
import torch
from torch.nn import functional

from nst_lightning.backbones.ops.first_convolution import COLUMNS_AT_A_TIME, first_convolution
from tests.helpers import random_normal


@pytest.mark.parametrize("width", range(3, 4 + 2 * COLUMNS_AT_A_TIME))
def test_first_convolution_equals_the_plain_implementation(width: int) -> None:
    image, weight, bias = random_normal(2, 3, 6, width).requires_grad_(), random_normal(4, 3, 3, 3), random_normal(4)
    torch.testing.assert_close(first_convolution(image, weight, bias), functional.conv2d(image, weight, bias))
    assert torch.autograd.gradcheck(first_convolution, (image, weight, bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_first_convolution_gradient_in_bfloat16_is_the_rounded_exact_gradient(layout: torch.memory_format) -> None:
    image, weight, bias = (
        tensor.bfloat16() for tensor in (random_normal(1, 3, 9, 14), random_normal(16, 3, 3, 3), random_normal(16))
    )
    gradient = random_normal(1, 16, 7, 12).bfloat16().contiguous(memory_format=layout)
    expected = functional.conv_transpose2d(gradient.double(), weight.double())
    image = image.contiguous(memory_format=layout).requires_grad_()
    (actual,) = torch.autograd.grad(first_convolution(image, weight, bias), image, gradient)
    torch.testing.assert_close(actual, expected.bfloat16(), rtol=2**-8, atol=1e-3)


def test_first_convolution_is_torch_on_other_devices() -> None:
    image, weight, bias = (torch.empty(*shape, device="meta") for shape in ((1, 3, 8, 9), (4, 3, 3, 3), (4,)))
    actual = first_convolution(image.requires_grad_(), weight, bias)
    assert actual.grad_fn is not None
    assert actual.grad_fn.name() == "ConvolutionBackward0"
