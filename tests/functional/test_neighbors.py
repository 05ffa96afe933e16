import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.functional.neighbors import cosine_distance, nearest_neighbors, principal_axes, sum_squares


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nearest_neighbors_equal_a_naive_search_in_blocks_of_any_size() -> None:
    queries, candidates = draw(1, 23, 5), draw(2, 17, 5)
    naive = [
        max(range(17), key=lambda j, q=query: float(functional.cosine_similarity(q, candidates[j], dim=0)))  # type: ignore[misc]
        for query in queries
    ]
    for max_cosines in (1, 40, 10**6):
        assert nearest_neighbors(queries, candidates, max_cosines).tolist() == naive


def test_nearest_neighbors_find_each_vector_itself_whatever_its_length() -> None:
    candidates = draw(3, 12, 4)
    assert nearest_neighbors(3 * candidates.flip(0), candidates).tolist() == list(range(12))[::-1]


def test_principal_axes_span_vectors_of_low_rank() -> None:
    rows = draw(4, 30, 2) @ draw(5, 2, 6)
    axes = principal_axes(rows, 2)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close((rows @ axes) @ axes.mT, rows)


def test_cosine_distance_equals_cosines_of_joined_parts() -> None:
    rows, targets, factors = [draw(6, 9, 3), draw(7, 9, 5)], [draw(8, 9, 3), draw(9, 9, 5)], [2.0, 0.5]
    joined, aims = (
        torch.cat([f * part for f, part in zip(factors, parts, strict=True)], 1) for parts in (rows, targets)
    )
    expected = 1 - functional.cosine_similarity(joined, aims).mean()
    torch.testing.assert_close(cosine_distance(rows, targets, factors), expected)
    torch.testing.assert_close(sum_squares(rows, factors), joined.square().sum(1))


def test_cosine_distance_has_the_gradient_of_its_formula() -> None:
    first, second = draw(10, 6, 3).requires_grad_(), draw(11, 6, 2).requires_grad_()
    targets = [draw(12, 6, 3), draw(13, 6, 2)]
    assert torch.autograd.gradcheck(lambda a, b: cosine_distance([a, b], targets, [1.5, 0.7]), (first, second))


def test_cosine_distance_ignores_lengths_and_is_zero_at_the_target() -> None:
    targets = [draw(14, 8, 4)]
    scaled = [targets[0] * torch.arange(1, 9, dtype=torch.float64)[:, None]]
    assert abs(float(cosine_distance(scaled, targets, [1.0]))) < 1e-12
    assert abs(float(cosine_distance([-targets[0]], targets, [1.0])) - 2) < 1e-12


def test_cosine_distance_of_a_vector_without_direction_is_one() -> None:
    rows = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    distance = cosine_distance([rows], [draw(15, 3, 4)], [1.0])
    (gradient,) = torch.autograd.grad(distance, rows)
    assert distance.item() == 1
    assert torch.isfinite(gradient).all()
