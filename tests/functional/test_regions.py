import itertools

import pytest
import torch
from torch import Tensor

from nst_lightning.functional.regions import STEPS, Region, divide_regions


def add_up(regions: list[Region], like: Tensor) -> Tensor:
    """Returns the shares that regions stand for."""
    result = torch.zeros_like(like)
    for region in regions:
        result = result + torch.tensor(region.blend, dtype=like.dtype).view(1, -1, 1, 1) * region.weights
    return result


def draw_shares(styles: int, kind: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(1, styles, 24, 32, generator=generator, dtype=torch.float64)
    if kind == "hard":
        values = torch.nn.functional.one_hot(values[0].argmax(0), styles).permute(2, 0, 1)[None].double()
    if kind == "smooth":
        values = torch.nn.functional.interpolate(values[..., :3, :3] ** 4, size=(24, 32), mode="bilinear")
    shares = values / values.sum(1, keepdim=True)
    if seed % 2:
        # Less than all: where the strength of the style is lower, or the content stays.
        shares = shares * torch.rand(1, 1, 24, 32, generator=generator, dtype=torch.float64).round(decimals=1)
    return shares


@pytest.mark.parametrize("kind", ["random", "hard", "smooth"])
@pytest.mark.parametrize("styles", [1, 2, 3, 4, 5])
def test_regions_add_up_to_the_shares(styles: int, kind: str) -> None:
    for seed in range(4):
        shares = draw_shares(styles, kind, seed)
        regions = divide_regions(shares)
        torch.testing.assert_close(add_up(regions, shares), shares, rtol=0, atol=1e-6)
        for region in regions:
            assert sum(region.blend) == pytest.approx(1)
            assert float(region.weights.min()) >= 0
            assert float(region.weights.max()) <= 1 + 1e-9
            assert bool(region.weights.any())
        blends = [region.blend for region in regions]
        assert len(set(blends)) == len(blends)
        assert blends == sorted(blends, reverse=True)


def test_hard_masks_are_one_region_for_each_style() -> None:
    shares = torch.zeros(1, 3, 20, 30)
    shares[:, 0, :, :10], shares[:, 1, :, 10:25], shares[:, 2, :, 25:] = 1, 1, 1
    regions = divide_regions(shares)
    assert [region.blend for region in regions] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    for number, region in enumerate(regions):
        assert torch.equal(region.weights, shares[:, number : number + 1])


@pytest.mark.parametrize("blend", [(1.0,), (0.3, 0.7), (0.2, 0.5, 0.3), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_constant_blend_is_one_region(blend: tuple[float, ...], strength: float) -> None:
    shares = strength * torch.tensor(blend).view(1, -1, 1, 1).expand(1, -1, 12, 16)
    (region,) = divide_regions(shares)
    assert region.blend == pytest.approx(blend, abs=1e-6)
    torch.testing.assert_close(region.weights, torch.full((1, 1, 12, 16), strength))


def test_strength_map_makes_no_further_regions() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 16, 64)
    (region,) = divide_regions(ramp * torch.tensor([0.4, 0.6]).view(1, 2, 1, 1))
    assert region.blend == pytest.approx((0.4, 0.6), abs=1e-6)
    torch.testing.assert_close(region.weights, ramp)


def test_ramp_between_two_styles_is_painted_in_steps() -> None:
    ramp = torch.linspace(0, 1, 128, dtype=torch.float64).expand(1, 1, 32, 128)
    regions = divide_regions(torch.cat([ramp, 1 - ramp], 1))
    assert [region.blend[0] for region in regions] == [1, 0.75, 0.5, 0.25, 0]
    for number, region in enumerate(reversed(regions)):
        # A hat function around each step.
        expected = (1 - (STEPS * ramp - number).abs()).clamp_min(0)
        torch.testing.assert_close(region.weights, expected, rtol=0, atol=1e-9)


def test_soft_edge_is_painted_by_the_styles_on_both_sides() -> None:
    edge = ((torch.arange(256.0) - 126) / 4).clamp(0, 1).expand(1, 1, 32, 256)
    regions = divide_regions(torch.cat([edge, 1 - edge], 1))
    assert [region.blend for region in regions] == [(1, 0), (0, 1)]
    torch.testing.assert_close(regions[0].weights, edge)


def test_shares_of_zero_have_no_regions() -> None:
    assert divide_regions(torch.zeros(1, 2, 8, 8)) == []


def test_regions_of_permuted_styles_are_permuted() -> None:
    shares = draw_shares(3, "smooth", 0)
    own = {region.blend: region.weights for region in divide_regions(shares)}
    for order in itertools.permutations(range(3)):
        regions = divide_regions(shares[:, list(order)])
        back = [tuple(region.blend[order.index(n)] for n in range(3)) for region in regions]
        pure = {blend: region.weights for blend, region in zip(back, regions, strict=True) if max(blend) == 1}
        assert pure.keys() == {blend for blend in own if max(blend) == 1}


def test_regions_are_the_same_each_time() -> None:
    shares = draw_shares(4, "random", 1)
    first, second = divide_regions(shares), divide_regions(shares.clone())
    assert [region.blend for region in first] == [region.blend for region in second]
    assert all(torch.equal(a.weights, b.weights) for a, b in zip(first, second, strict=True))
