import io
from collections.abc import Callable
from itertools import pairwise
from math import inf, nan

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from nst_lightning.errors import InputError
from nst_lightning.optim import CompactLBFGS, lbfgs

Objective = Callable[[Tensor], Tensor]


def rosenbrock(x: Tensor) -> Tensor:
    """Rosenbrock function summed over the items; it is not convex."""
    flat = x.flatten(1)
    return (100 * (flat[:, 1:] - flat[:, :-1] ** 2) ** 2 + (1 - flat[:, :-1]) ** 2).sum()


def quartic(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    scales = torch.linspace(1, 50, flat.shape[1], dtype=x.dtype)
    return ((scales * flat**2) + 0.1 * (flat - 1) ** 4 + flat[:, :1] * flat).sum()


def create_start(items: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(items, 3, 4, 5, dtype=dtype, generator=torch.Generator().manual_seed(1)) * 0.5


def record_iterates(optimizer: Optimizer, x: Tensor, objective: Objective, steps: int) -> list[Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    path = []
    for _ in range(steps):
        optimizer.step(closure)  # type: ignore[arg-type]
        path.append(x.detach().clone())
    return path


def create_torch_lbfgs(x: Tensor, history: int) -> LBFGS:
    return LBFGS([x], lr=1.0, max_iter=1, history_size=history, tolerance_grad=0.0, tolerance_change=0.0)


@pytest.mark.parametrize("history", [1, 3, 10, 100])
@pytest.mark.parametrize("items", [1, 2])
def test_lbfgs_iterates_equal_torch(history: int, items: int) -> None:
    ours, theirs = (create_start(items).requires_grad_() for _ in range(2))
    actual = record_iterates(CompactLBFGS([ours], history_size=history, longest=inf, per_item=False), ours, quartic, 40)
    expected = record_iterates(create_torch_lbfgs(theirs, history), theirs, quartic, 40)
    torch.testing.assert_close(actual[:20], expected[:20], rtol=1e-9, atol=1e-12)
    # Each step amplifies the rounding errors of the previous one.
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert quartic(ours) < 0.5 * quartic(create_start(items))


def test_lbfgs_equals_torch_without_curvature() -> None:
    # Not convex: the first pairs have negative products and are skipped.
    ours, theirs = (create_start().requires_grad_() for _ in range(2))
    actual = record_iterates(CompactLBFGS([ours], history_size=100, longest=inf), ours, rosenbrock, 25)
    expected = record_iterates(create_torch_lbfgs(theirs, 100), theirs, rosenbrock, 25)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)


def test_lbfgs_iterates_are_equal_with_products_of_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute_iterates() -> list[Tensor]:
        x = create_start(items=2).requires_grad_()
        return record_iterates(CompactLBFGS([x], history_size=4, longest=inf), x, quartic, 20)

    expected = compute_iterates()
    monkeypatch.setattr(lbfgs, "_uses_blas", lambda device: True)
    others = compute_iterates()
    torch.testing.assert_close(others, expected, rtol=1e-9, atol=1e-12)
    assert not torch.equal(others[-1], expected[-1])  # the sums have another order


def test_lbfgs_solves_each_item_separately() -> None:
    together = create_start(3).requires_grad_()
    actual = record_iterates(CompactLBFGS([together], history_size=4), together, quartic, 12)[-1]
    for item, expected in enumerate(actual):
        alone = create_start(3)[item : item + 1].clone().requires_grad_()
        assert torch.equal(record_iterates(CompactLBFGS([alone], history_size=4), alone, quartic, 12)[-1][0], expected)


def test_lbfgs_resumes_bitwise_from_its_state() -> None:
    whole = create_start(2, torch.float32).requires_grad_()
    expected = record_iterates(CompactLBFGS([whole], history_size=3), whole, quartic, 12)[-1]
    first = create_start(2, torch.float32).requires_grad_()
    optimizer = CompactLBFGS([first], history_size=3)
    record_iterates(optimizer, first, quartic, 7)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    second = first.detach().clone().requires_grad_()
    resumed = CompactLBFGS([second], history_size=3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(record_iterates(resumed, second, quartic, 5)[-1], expected)


def test_lbfgs_limits_the_length_of_updates() -> None:
    together = torch.cat([6 * create_start(), create_start(), torch.zeros_like(create_start())]).requires_grad_()
    free = together.detach().clone().requires_grad_()
    before = [together.detach().clone()]
    actual = before + record_iterates(CompactLBFGS([together], longest=0.2), together, quartic, 40)
    moves = torch.stack([(b - a).flatten(1).square().mean(1).sqrt() for a, b in pairwise(actual)])
    assert float(moves.max()) == pytest.approx(0.2)
    assert (moves[:, 0] > 0.199).sum() > 5
    expected = record_iterates(CompactLBFGS([free], longest=inf), free, quartic, 40)
    held = int((moves[:, 1] > 0.199).nonzero()[0, 0])
    torch.testing.assert_close([image[1] for image in actual[1 : held + 1]], [image[1] for image in expected[:held]])
    assert quartic(actual[-1][:1]) < 0.01 * quartic(before[0][:1])


def test_lbfgs_is_stable_with_rounded_gradients() -> None:
    def round_to_bfloat16(x: Tensor) -> Tensor:
        # Near the minimum the gradient is noise that is unrelated to the update.
        return quartic(x) + (x * 1e-3 * torch.randn(x.shape, generator=noise, dtype=x.dtype)).sum()

    ends = []
    for longest in (0.05, inf):
        noise = torch.Generator().manual_seed(4)
        x = create_start().requires_grad_()
        path = record_iterates(CompactLBFGS([x], longest=longest), x, round_to_bfloat16, 400)
        ends.append(max(float(image.abs().max()) for image in path[50:]))
    assert ends[0] < 3
    assert ends[1] > ends[0]


def test_lbfgs_evaluates_once_per_step() -> None:
    x = create_start().requires_grad_()
    evaluations = []

    def count_evaluations(value: Tensor) -> Tensor:
        evaluations.append(1)
        return quartic(value)

    record_iterates(CompactLBFGS([x]), x, count_evaluations, 9)
    assert len(evaluations) == 9


def test_lbfgs_rejects_invalid_arguments() -> None:
    x = create_start().requires_grad_()
    with pytest.raises(InputError, match="`lr` to be positive, but got 0"):
        CompactLBFGS([x], lr=0.0)
    with pytest.raises(InputError, match="`history_size` to be positive, but got 0"):
        CompactLBFGS([x], history_size=0)
    with pytest.raises(InputError, match="`longest` to be positive, but got nan"):
        CompactLBFGS([x], longest=nan)
    with pytest.raises(InputError, match="one tensor"):
        CompactLBFGS([x, create_start().requires_grad_()])
