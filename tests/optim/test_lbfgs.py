import io
from collections.abc import Callable
from itertools import pairwise
from math import inf, nan
from typing import Any

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
    monkeypatch.setattr(lbfgs, "_uses_blas", lambda rows, values: True)
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


def test_lbfgs_rejects_an_unknown_history_dtype() -> None:
    with pytest.raises(InputError, match="`history_dtype` to be float32 or bfloat16, but got float16"):
        CompactLBFGS([create_start().requires_grad_()], history_dtype="float16")  # type: ignore[arg-type]


def create_rounded(x: Tensor, history: int = 4, longest: float = inf) -> CompactLBFGS:
    return CompactLBFGS([x], history_size=history, longest=longest, history_dtype="bfloat16")


def test_products_are_those_of_the_rounded_pairs() -> None:
    x = create_start(2).requires_grad_()
    optimizer = create_rounded(x)
    record_iterates(optimizer, x, quartic, 11)
    state = optimizer.state[x]
    assert state["pairs"].dtype == torch.bfloat16
    pairs = state["pairs"].double()
    moves, changes = pairs.split(4, dim=1)
    # Step 11 has written half of a pair in slot 2; the next step completes it.
    complete = [0, 1, 3]
    along = (pairs @ state["gradient"][..., None])[..., 0]
    torch.testing.assert_close(state["along"][:, complete], along[:, complete])
    torch.testing.assert_close(state["along"][:, 4:], along[:, 4:])
    products, expected = state["products"][:, :4], moves @ changes.mT
    # Those of an earlier move with a later change, which the Hessian is made of.
    for move, change in ((3, 0), (0, 1), (3, 1), *((slot, slot) for slot in complete)):
        torch.testing.assert_close(products[:, move, change], expected[:, move, change])
    squares = (changes @ changes.mT)[:, complete][:, :, complete]
    torch.testing.assert_close(state["products"][:, 4:][:, complete][:, :, complete], squares)
    # Curvature condition of each pair in use.
    assert bool((state["valid"][:, complete] == 1).all())
    assert bool((expected.diagonal(dim1=1, dim2=2)[:, complete] > lbfgs.MIN_CURVATURE).all())


def test_image_moves_by_the_rounded_update() -> None:
    x = create_start().requires_grad_()
    optimizer = create_rounded(x)
    path = record_iterates(optimizer, x, quartic, 3)
    move = (path[-1] - path[-2]).flatten()
    torch.testing.assert_close(optimizer.state[x]["pairs"][0, 2].double(), move, rtol=1e-9, atol=1e-15)


def test_rounded_history_descends_on_a_quadratic_function() -> None:
    scales = torch.linspace(1, 50, 60, dtype=torch.float64)

    def quadratic(x: Tensor) -> Tensor:
        return (scales * x.flatten(1) ** 2).sum()

    x, exact = (create_start().requires_grad_() for _ in range(2))
    values = [float(quadratic(image)) for image in record_iterates(create_rounded(x, 10), x, quadratic, 60)]
    plain = record_iterates(CompactLBFGS([exact], longest=inf), exact, quadratic, 60)
    # Both converge, although each update is known to 3 digits only.
    assert values[59] < 1e-9 * values[0]
    assert float(quadratic(plain[59])) < 1e-9 * values[0]
    torch.testing.assert_close(values[5], float(quadratic(plain[5])), rtol=0.05, atol=0)


def reload(optimizer: CompactLBFGS) -> dict[str, Any]:
    """Returns the state as a file gives it back."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return dict(torch.load(file, weights_only=True))


def test_rounded_history_resumes_bitwise_from_its_state() -> None:
    whole = create_start(2, torch.float32).requires_grad_()
    expected = record_iterates(create_rounded(whole, 3), whole, quartic, 12)[-1]
    first = create_start(2, torch.float32).requires_grad_()
    optimizer = create_rounded(first, 3)
    record_iterates(optimizer, first, quartic, 7)
    second = first.detach().clone().requires_grad_()
    resumed = create_rounded(second, 3)
    resumed.load_state_dict(reload(optimizer))
    assert resumed.state[second]["pairs"].dtype == torch.bfloat16
    assert torch.equal(record_iterates(resumed, second, quartic, 5)[-1], expected)


def test_history_is_converted_to_the_data_type_of_the_resumed_run() -> None:
    x = create_start(2).requires_grad_()
    optimizer = CompactLBFGS([x], history_size=4, longest=inf)
    record_iterates(optimizer, x, quartic, 9)
    before = quartic(x).item()
    saved = reload(optimizer)
    del saved["param_groups"][0]["history_dtype"]  # an older version
    rounded = create_rounded(x)
    rounded.load_state_dict(saved)
    assert rounded.param_groups[0]["history_dtype"] == "bfloat16"
    state = rounded.state[x]
    pairs = state["pairs"].double()
    assert state["pairs"].dtype == torch.bfloat16
    torch.testing.assert_close(state["products"], pairs @ pairs[:, 4:].mT)
    torch.testing.assert_close(state["along"], (pairs @ state["gradient"][..., None])[..., 0])
    record_iterates(rounded, x, quartic, 9)
    assert quartic(x).item() < before
    exact = CompactLBFGS([x], history_size=4, longest=inf)
    exact.load_state_dict(reload(rounded))
    assert exact.state[x]["pairs"].dtype == torch.float64
    assert torch.equal(exact.state[x]["pairs"].bfloat16(), rounded.state[x]["pairs"])
