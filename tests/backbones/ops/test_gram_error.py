import pytest
import torch
from torch import Tensor

from nst_lightning.backbones.ops.gram_error import ChannelMap, gram_squared_error, plain_gram_squared_error
from nst_lightning.functional.gram import PositionWeights, gram_matrix, moments


def create_features_with_means() -> Tensor:
    return torch.randn(2, 6, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.7


def create_channel_maps() -> dict[str, ChannelMap | None]:
    gram = torch.randn(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    weight, offset = gram[..., :6], gram[..., 6:]
    return {
        "none": None,
        "without offset": ChannelMap(weight[:1]),
        "with offset": ChannelMap(weight[:1], offset[:1]),
        "one for each": ChannelMap(weight, offset),
    }


def apply_channel_map(products: Tensor, channel_map: ChannelMap) -> Tensor:
    """Returns ``V M V^T``; M holds means of products of the channels and of a last channel of ones."""
    left = channel_map.weight if channel_map.offset is None else torch.cat([channel_map.weight, channel_map.offset], 2)
    columns = left.shape[-1]
    return left @ products[:, :columns, :columns] @ left.mT


@pytest.mark.parametrize("name", list(create_channel_maps()))
def test_gram_error_equals_squared_error_of_mapped_moments(name: str) -> None:
    features, channel_map = create_features_with_means(), create_channel_maps()[name]
    whole = moments(features)
    gram = gram_matrix(features) if channel_map is None else apply_channel_map(whole, channel_map)
    target = gram[:1].flip(1).flip(2)
    torch.testing.assert_close(gram_squared_error(features, target, channel_map), (gram - target).square().mean())
    leaf = features.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: gram_squared_error(x, target, channel_map), leaf)
    assert gram_squared_error(features, gram, channel_map) == pytest.approx(0, abs=1e-25)
    torch.testing.assert_close(
        gram_squared_error(features, target, channel_map, weight=3.0),
        3 * gram_squared_error(features, target, channel_map),
    )
    assert torch.autograd.gradcheck(lambda x: gram_squared_error(x, target, channel_map, weight=3.0), leaf)


@pytest.mark.parametrize("name", list(create_channel_maps()))
def test_gram_error_weights_positions_by_a_mask(name: str) -> None:
    features, channel_map = create_features_with_means(), create_channel_maps()[name]
    share = torch.rand(1, 1, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.1
    weights = PositionWeights(share, float(share.sum()))
    ones = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    whole = torch.einsum("bchw,bdhw,hw->bcd", ones, ones, share[0, 0]) / weights.total
    gram = whole[:, :6, :6] / 6 if channel_map is None else apply_channel_map(whole, channel_map)
    target = gram[:1].flip(1).flip(2)
    torch.testing.assert_close(
        gram_squared_error(features, target, channel_map, weights), (gram - target).square().mean()
    )
    torch.testing.assert_close(
        plain_gram_squared_error(features, target, channel_map, weights), (gram - target).square().mean()
    )
    leaf = features.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: gram_squared_error(x, target, channel_map, weights), leaf)


def test_gram_error_gradient_in_bfloat16_is_the_rounded_exact_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 16, 90, 81, generator=generator).bfloat16() + 1
    left = torch.randn(1, 5, 17, generator=generator)
    channel_map = ChannelMap(left[..., :16], left[..., 16:])
    target = torch.eye(5)[None]
    gradients = []
    for given in (features, features.double()):
        leaf = given.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            error = gram_squared_error(leaf, target, channel_map)
        error.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        gradients.append(leaf.grad.double())
    actual, exact = gradients
    assert (actual - exact).abs().max() < 0.01 * exact.abs().max()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", list(create_channel_maps()))
def test_gram_error_equals_the_plain_implementation(name: str, weighted: bool) -> None:
    features, channel_map = create_features_with_means().requires_grad_(), create_channel_maps()[name]
    values = torch.rand(1, 1, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.1
    weights = PositionWeights(values, float(values.sum()))
    size = 6 if channel_map is None else 3
    target = torch.eye(size, dtype=torch.float64)[None]
    results, gradients = [], []
    for implementation in (gram_squared_error, plain_gram_squared_error):
        result = implementation(features, target, channel_map, weights if weighted else None, 2.0)
        results.append(result)
        gradients.append(torch.autograd.grad(result, features)[0])
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
