import math

import pytest
import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.backbones.position_mask import LEAST_POSITIONS, PositionMask
from nst_lightning.functional.sampling import draw_positions
from tests.helpers import random_normal, random_tensor


def draw_box(height: int, width: int, rows: slice, columns: slice, value: float = 1.0) -> Tensor:
    mask = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mask[..., rows, columns] = value
    return mask


def read_weights(mask: PositionMask, height: int, width: int) -> Tensor:
    """Returns the weights of all positions, ``(height, width)``, by selecting a map of the positions' numbers."""
    numbers = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    weights, chosen = mask.weights((height, width)), mask.select(numbers).flatten().long()
    result = torch.zeros(height * width, dtype=torch.float64)
    result[chosen] = 1.0 if weights is None else weights.values.flatten()
    return result.view(height, width)


# Weights


@pytest.mark.parametrize("is_eroded", [False, True])
def test_mask_of_ones_restricts_nothing(is_eroded: bool) -> None:
    mask = PositionMask(torch.ones(1, 1, 24, 40), is_eroded)
    assert mask.share == 1
    for size in ((24, 40), (12, 20), (3, 5), (1, 1)):
        value = random_normal(1, 2, *size)
        assert mask.weights(size) is None
        assert mask.select(value) is value
        assert mask.count(size) == size[0] * size[1]


def test_weight_of_a_position_is_the_mean_over_its_cell() -> None:
    pixels = random_tensor(1, 1, 12, 20)
    pixels[..., :4, :8] = 0
    mask = PositionMask(pixels)
    expected = torch.tensor(
        [[float(pixels[0, 0, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean()) for x in range(5)] for y in range(3)],
        dtype=torch.float64,
    )
    torch.testing.assert_close(read_weights(mask, 3, 5), expected)
    weights = mask.weights((3, 5))
    assert weights is not None
    assert weights.values.shape == (1, 1, 13, 1)
    assert weights.total == pytest.approx(float(expected.sum()))
    assert mask.share == pytest.approx(float(pixels.mean()))


def test_selected_features_are_those_of_positions_with_a_weight() -> None:
    mask, value = PositionMask(draw_box(6, 8, slice(1, 3), slice(5, 8))), random_normal(1, 4, 6, 8)
    assert torch.equal(mask.select(value)[..., 0], value[..., 1:3, 5:8].flatten(2))


def test_selection_has_the_gradient_of_indexing() -> None:
    mask = PositionMask(random_tensor(1, 1, 5, 6).sub(0.5).clamp_min(0))
    value = random_normal(1, 3, 5, 6).requires_grad_()
    assert mask.select(value).shape[2] < 30
    assert torch.autograd.gradcheck(mask.select, value)


@pytest.mark.parametrize("strength", [1.0, 0.05, 10.0])
def test_count_of_positions_does_not_depend_on_the_strength(strength: float) -> None:
    assert PositionMask(torch.full((1, 1, 16, 16), strength)).count((4, 4)) == pytest.approx(16)
    half = PositionMask(draw_box(16, 16, slice(0, 8), slice(None), strength))
    assert half.count((4, 4)) == pytest.approx(8)


# Erosion


def test_deep_layers_are_eroded_by_one_position_and_shallow_ones_are_not() -> None:
    mask = PositionMask(draw_box(64, 96, slice(None), slice(0, 48)), is_eroded=True)
    for step in (1, 2):
        shallow = read_weights(mask, 64 // step, 96 // step)
        assert bool((shallow[:, : 48 // step] == 1).all())
        assert float(shallow.sum()) == 64 * 48 / step**2
    for step in (4, 8, 16):
        deep = read_weights(mask, 64 // step, 96 // step)
        border = 48 // step
        # The edge of the image is no border of the part.
        assert bool((deep[:, : border - 1] == 1).all())
        assert bool((deep[:, border - 1 :] == 0).all())


def test_erosion_is_the_least_weight_among_nine_positions() -> None:
    pixels = random_tensor(1, 1, 48, 64, seed=3)
    plain, eroded = PositionMask(pixels), PositionMask(pixels, is_eroded=True)
    weights, actual = read_weights(plain, 6, 8), read_weights(eroded, 6, 8)
    for y in range(6):
        for x in range(8):
            assert actual[y, x] == weights[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].min()


@pytest.mark.parametrize(("edge", "is_kept"), [(24, True), (32, False)])
def test_part_that_would_nearly_vanish_is_not_eroded(edge: int, is_kept: bool) -> None:
    # One of 3 x 3 positions is left, or four of 4 x 4.
    box = draw_box(64, 64, slice(8, 8 + edge), slice(16, 16 + edge))
    plain, eroded = PositionMask(box), PositionMask(box, is_eroded=True)
    assert torch.equal(read_weights(plain, 8, 8), read_weights(eroded, 8, 8)) is is_kept
    assert float(read_weights(eroded, 8, 8).sum()) == (9 if is_kept else LEAST_POSITIONS)


def test_constant_mask_is_not_eroded() -> None:
    assert bool((read_weights(PositionMask(torch.full((1, 1, 64, 64), 0.25).double(), True), 8, 8) == 0.25).all())


# Products


def test_product_is_computed_once_and_is_none_without_an_overlap() -> None:
    left, top = (
        PositionMask(draw_box(8, 8, slice(None), slice(0, 4))),
        PositionMask(draw_box(8, 8, slice(0, 2), slice(None), 0.5)),
    )
    product = left.times(top)
    assert product is not None
    assert product is left.times(top)
    assert torch.equal(product.mask, draw_box(8, 8, slice(0, 2), slice(0, 4), 0.5))
    right = PositionMask(draw_box(8, 8, slice(None), slice(4, 8)))
    assert left.times(right) is None
    assert left.times(right) is None


def test_features_within_two_masks_are_those_within_their_product() -> None:
    first, second = (PositionMask(random_tensor(1, 1, 6, 8, seed=seed)) for seed in (1, 2))
    features = Features({"a": random_normal(1, 3, 6, 8)})
    product = PositionMask(first.mask * second.mask)
    twice = features.within(first).within(second).gram_matrix("a")
    torch.testing.assert_close(twice, features.within(product).gram_matrix("a"))
    assert features.within(None) is features


# Positions


def test_mask_of_ones_leaves_positions_where_they_are() -> None:
    positions = draw_positions(200, 0).double()
    for value in (1.0, 0.3):
        placed = PositionMask(torch.full((1, 1, 7, 9), value)).place(positions)
        torch.testing.assert_close(placed, positions, rtol=0, atol=1e-12)


def test_positions_are_placed_once() -> None:
    mask, first, second = PositionMask(random_tensor(1, 1, 5, 6)), draw_positions(20, 0), draw_positions(20, 1)
    placed = mask.place(first)
    assert not torch.equal(placed, mask.place(second))
    assert mask.place(first) is placed


def test_half_a_mask_gets_all_positions() -> None:
    positions = draw_positions(300, 1)
    placed = PositionMask(draw_box(10, 12, slice(None), slice(6, 12))).place(positions)
    assert placed.dtype == positions.dtype
    torch.testing.assert_close(placed[:, 0], positions[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(placed[:, 1], 0.5 + positions[:, 1] / 2, rtol=0, atol=1e-6)


def test_density_of_positions_is_proportional_to_the_mask() -> None:
    pixels = random_tensor(1, 1, 4, 5, seed=7)
    pixels[..., 1, :] = 0
    pixels[..., 3, 2] = 0
    count = 20000
    placed = PositionMask(pixels).place(draw_positions(count, 2))
    cells = (placed[:, 0] * 4).long() * 5 + (placed[:, 1] * 5).long()
    shares = torch.bincount(cells, minlength=20).double() / count
    torch.testing.assert_close(shares, (pixels / pixels.sum()).flatten(), rtol=0, atol=3e-3)
    assert bool((shares[pixels.flatten() == 0] == 0).all())


@pytest.mark.parametrize("length", [49, 98, 103, 107])
def test_positions_at_the_border_of_an_empty_row_stay_in_the_mask(length: int) -> None:
    # Some of these borders times the length are, rounded, in the empty row above.
    for first in range(1, length):
        pixels = torch.zeros(1, 1, length, 2, dtype=torch.float64)
        pixels[..., first:, 0] = 1
        placed = PositionMask(pixels).place(torch.tensor([[0.0, 0.5]], dtype=torch.float64))
        assert placed[0, 0] == pytest.approx(first / length)
        assert placed[0, 1] == pytest.approx(0.25)


def test_levels_next_to_one_stay_in_the_mask() -> None:
    largest = math.nextafter(1.0, 0.0)
    for count in (3, 7, 10, 49):
        pixels = torch.zeros(1, 1, 50, 50, dtype=torch.float64)
        pixels[..., :count, :count] = 0.1
        placed = PositionMask(pixels).place(torch.tensor([[largest, largest]], dtype=torch.float64))
        assert bool((placed <= count / 50).all())


def test_positions_within_a_part_are_those_of_its_features() -> None:
    columns = torch.arange(8, dtype=torch.float64).expand(1, 1, 8, 8)
    right = Features({"a": columns}).within(PositionMask(draw_box(8, 8, slice(None), slice(4, 8))))
    samples = right.sample("a", draw_positions(500, 0))
    # Half a position before the border, bilinear interpolation still reads its neighbor.
    assert float(samples.min()) >= 3.5
    # Beyond the center of the last column, at 7, its value continues.
    assert float(samples.mean()) == pytest.approx(((7**2 - 3.5**2) / 2 + 7 / 2) / 4, abs=0.005)


def test_marked_positions_are_chosen_within_the_part() -> None:
    value = random_normal(1, 3, 6, 8)
    part = Features({"a": value}).within(PositionMask(draw_box(6, 8, slice(None), slice(4, 8))))
    marks = torch.zeros(1, 1, 6, 8)
    marks[..., :2, :] = 1
    chosen = part.at_positions(marks)
    assert chosen.mask is None
    assert torch.equal(chosen["a"][..., 0], value[..., :2, 4:].flatten(2))
    # Without a mark in the part, all of its positions count.
    marks = torch.zeros(1, 1, 6, 8)
    marks[..., :4] = 1
    assert torch.equal(part.at_positions(marks)["a"][..., 0], value[..., 4:].flatten(2))


def test_resampled_features_are_selected_on_the_new_grid() -> None:
    value, box = random_normal(1, 3, 8, 8), draw_box(16, 16, slice(0, 8), slice(None))
    part = Features({"a": value}).within(PositionMask(box))
    pooled = torch.nn.functional.avg_pool2d(value, 2)
    assert torch.equal(part.resampled("a", 4, 4)[..., 0], pooled[..., :2, :].flatten(2))
    weights = part.weights_at(4, 4)
    assert weights is not None
    assert weights.total == 8
