from typing import get_args

import pytest
import torch
from torch import Tensor

from nst_lightning.functional.similarity import (
    FEW_CHANNELS,
    LEAST_LENGTH,
    Cost,
    cosine_distances,
    relaxed_earth_movers_distance,
    scale_to_unit_length,
    self_similarity,
)
from tests.helpers import random_normal, random_tensor

COSTS: tuple[Cost, ...] = get_args(Cost)


def compute_cost(first: Tensor, second: Tensor, cost: Cost) -> float:
    """Computes the cost of a pair by its definition."""
    cosine = 1 - float(first @ second / (first.norm() * second.norm()))
    euclidean = float((first - second).square().mean().sqrt())
    return {"cosine": cosine, "euclidean": euclidean, "both": cosine + euclidean}[cost]


def test_unit_vectors_have_length_one_except_short_ones() -> None:
    vectors = random_normal(5, 4)
    torch.testing.assert_close(scale_to_unit_length(vectors).norm(dim=1), torch.ones(5).double(), rtol=1e-3, atol=0)
    assert torch.equal(scale_to_unit_length(torch.zeros(2, 3)), torch.zeros(2, 3))
    torch.testing.assert_close(scale_to_unit_length(vectors, dim=0).mT, scale_to_unit_length(vectors.mT))


def test_unit_vectors_have_a_bounded_gradient() -> None:
    vectors = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(scale_to_unit_length(vectors).sum(), vectors)
    torch.testing.assert_close(gradient, torch.full((2, 3), 1 / LEAST_LENGTH))


def test_cosine_distances_equal_a_naive_loop() -> None:
    first, second = 5 * random_normal(2, 3, 4), 5 * random_normal(2, 6, 4)
    actual = cosine_distances(scale_to_unit_length(first), scale_to_unit_length(second))
    for b in range(2):
        for i in range(3):
            for j in range(6):
                expected = compute_cost(first[b, i], second[b, j], "cosine")
                assert actual[b, i, j].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("channels", [3, FEW_CHANNELS + 4])
@pytest.mark.parametrize("cost", COSTS)
def test_relaxed_emd_equals_a_naive_loop(cost: Cost, channels: int) -> None:
    image, style = 5 * random_normal(2, 6, channels), 5 * random_normal(2, 9, channels)
    expected = []
    for x, s in zip(image, style, strict=True):
        costs = [[compute_cost(a, b, cost) for b in s] for a in x]
        forward = sum(min(row) for row in costs) / 6
        backward = sum(min(column) for column in zip(*costs, strict=True)) / 9
        expected.append(max(forward, backward))
    actual = relaxed_earth_movers_distance(image, style, cost)
    assert actual.item() == pytest.approx(sum(expected) / 2, rel=1e-3)


@pytest.mark.parametrize("cost", COSTS)
def test_relaxed_emd_passes_gradcheck(cost: Cost) -> None:
    image, style = random_normal(2, 4, 3).requires_grad_(), random_normal(1, 5, 3)
    assert torch.autograd.gradcheck(lambda x: relaxed_earth_movers_distance(x, style, cost), image)
    # Fewer style vectors: the other direction is the larger one.
    assert torch.autograd.gradcheck(lambda x: relaxed_earth_movers_distance(x, style[:, :1], cost), image)


@pytest.mark.parametrize("cost", COSTS)
def test_relaxed_emd_ignores_the_order_of_vectors(cost: Cost) -> None:
    image, style = random_normal(1, 7, 3), random_normal(1, 5, 3)
    expected = relaxed_earth_movers_distance(image, style, cost)
    torch.testing.assert_close(relaxed_earth_movers_distance(image.flip(1), style, cost), expected)
    torch.testing.assert_close(relaxed_earth_movers_distance(image, style.roll(2, 1), cost), expected)
    assert relaxed_earth_movers_distance(style.flip(1), style, cost).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("cost", COSTS)
def test_relaxed_emd_counts_style_vectors_that_do_not_occur(cost: Cost) -> None:
    style = random_normal(1, 6, 3)
    assert relaxed_earth_movers_distance(style[:, :3], style, cost) > 0.05
    assert relaxed_earth_movers_distance(style, style[:, :3], cost) > 0.05


def test_relaxed_emd_does_not_depend_on_a_rotation() -> None:
    image, style = random_normal(1, 7, 3), random_normal(1, 5, 3)
    rotation = torch.linalg.qr(random_normal(3, 3)).Q
    for cost in COSTS:
        torch.testing.assert_close(
            relaxed_earth_movers_distance(image @ rotation, style @ rotation, cost),
            relaxed_earth_movers_distance(image, style, cost),
        )


@pytest.mark.parametrize("cost", COSTS)
def test_relaxed_emd_of_equal_and_zero_vectors_has_a_finite_gradient(cost: Cost) -> None:
    image = torch.zeros(1, 4, 3, requires_grad=True)
    distance = relaxed_earth_movers_distance(image, torch.zeros(1, 2, 3), cost)
    (gradient,) = torch.autograd.grad(distance, image)
    assert distance == 0
    assert torch.equal(gradient, torch.zeros(1, 4, 3))


def test_self_similarity_equals_a_naive_loop() -> None:
    vectors = 5 * random_normal(1, 4, 3)
    distances = [[compute_cost(a, b, "cosine") for b in vectors[0]] for a in vectors[0]]
    actual = self_similarity(vectors)[0]
    for i in range(4):
        for j in range(4):
            expected = distances[i][j] / sum(distances[k][j] for k in range(4))
            assert actual[i, j].item() == pytest.approx(expected, abs=1e-4)


def test_self_similarity_ignores_the_length_and_rotation_of_vectors() -> None:
    vectors, rotation = 10 * random_normal(1, 5, 3), torch.linalg.qr(random_normal(3, 3)).Q
    scaled = random_tensor(1, 5, 1) + 0.5
    torch.testing.assert_close(
        self_similarity(scaled * vectors @ rotation), self_similarity(vectors), rtol=1e-4, atol=1e-5
    )


def test_self_similarity_passes_gradcheck() -> None:
    assert torch.autograd.gradcheck(self_similarity, random_normal(2, 4, 3).requires_grad_())


def test_self_similarity_of_a_flat_picture_is_finite() -> None:
    vectors = torch.ones(1, 5, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(self_similarity(vectors).sum(), vectors)
    assert bool(gradient.isfinite().all())
