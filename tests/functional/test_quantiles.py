import pytest
import torch
from torch import Tensor

from nst_lightning.functional.quantiles import (
    quantiles,
    quantiles_at,
    sort_weighted,
    weighted_quantile_error,
    weighted_quantiles,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_quantiles_keep_ends_and_order() -> None:
    ordered = torch.tensor([[[0.0, 1.0, 4.0]]])
    torch.testing.assert_close(quantiles(ordered, 5), torch.tensor([[[0.0, 0.5, 1.0, 2.5, 4.0]]]))
    assert quantiles(ordered, 3) is ordered


def test_quantiles_at_interpolates_between_equally_spaced_quantiles() -> None:
    ordered = torch.tensor([[[0.0, 1.0, 4.0]]])
    levels = torch.tensor([[[0.0, 0.25, 0.5, 0.75, 1.0]]])
    torch.testing.assert_close(quantiles_at(ordered, levels), quantiles(ordered, 5))
    torch.testing.assert_close(quantiles_at(ordered[..., :1], levels), torch.zeros(1, 1, 5))


def test_equal_weights_give_equally_spaced_levels() -> None:
    values = draw(1, 2, 9)
    ordered, levels, weights = sort_weighted(values, torch.full((9,), 0.3))
    torch.testing.assert_close(ordered, values.sort().values)
    torch.testing.assert_close(levels, torch.linspace(0, 1, 9, dtype=torch.float64).expand(1, 2, 9))
    torch.testing.assert_close(weights, torch.full((1, 2, 9), 0.3, dtype=torch.float64), atol=1e-7, rtol=0)
    torch.testing.assert_close(weighted_quantiles(values, torch.ones(9), 17), quantiles(values.sort().values, 17))


def test_a_weight_of_two_is_a_value_that_occurs_twice() -> None:
    values = torch.tensor([[[1.0, 3.0, 2.0]]], dtype=torch.float64)
    _, levels, _ = sort_weighted(values, torch.tensor([1.0, 1.0, 2.0]))
    # The middles of 1 | 2 2 | 3 are at 0.5, 2 and 3.5.
    torch.testing.assert_close(levels, torch.tensor([[[0.0, 0.5, 1.0]]], dtype=torch.float64))


def test_weighted_quantile_error_equals_a_naive_loop() -> None:
    values, weights, target = draw(1, 3, 7), draw(7, seed=1) + 0.1, draw(1, 3, 5, seed=2).sort().values
    expected = 0.0
    for channel in range(3):
        order = sorted(range(7), key=lambda i: float(values[0, channel, i]))
        middles, below = [], 0.0
        for i in order:
            middles.append(below + float(weights[i]) / 2)
            below += float(weights[i])
        for i, middle in zip(order, middles, strict=True):
            place = (middle - middles[0]) / (middles[-1] - middles[0]) * 4
            low = min(int(place), 3)
            quantile = target[0, channel, low] + (place - low) * (target[0, channel, low + 1] - target[0, channel, low])
            expected += float(weights[i] / weights.sum() * (values[0, channel, i] - quantile) ** 2) / 3
    assert float(weighted_quantile_error(values, weights, target)) == pytest.approx(expected)


def test_weighted_quantile_error_passes_gradcheck_and_ignores_the_order_of_positions() -> None:
    values, weights, target = draw(1, 3, 7).requires_grad_(), draw(7, seed=1) + 0.1, draw(1, 3, 5, seed=2).sort().values
    assert torch.autograd.gradcheck(lambda x: weighted_quantile_error(x, weights, target), values)
    shuffled = weighted_quantile_error(values.flip(-1), weights.flip(0), target)
    torch.testing.assert_close(shuffled, weighted_quantile_error(values, weights, target))
