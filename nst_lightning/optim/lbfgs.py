"""L-BFGS for one tensor: one evaluation and one bounded move a step, images of a batch kept apart."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nst_lightning.errors import InputError

LEAST_CURVATURE = 1e-10
"""Pairs whose product is no larger are passed over, as in torch."""


class CompactLBFGS(Optimizer):
    """L-BFGS without line search, in the compact form of Byrd, Nocedal and Schnabel 1994 (eq. 3.1).

    Its iterates are those of ``torch.optim.LBFGS(max_iter=1)``, but where that makes two operations for each kept pair
    of differences, twice, this makes two products with all of them, and nothing in a step waits for the device. It
    differs in two things: a pair that is passed over for lack of curvature takes the place of the oldest one; and no
    move is longer than `longest`. Without a line search the first pairs, and pairs of bfloat16's roundings near the
    bottom, can ask for one that leaves the image for good.

    Args:
        params: the one tensor to optimize.
        lr: length of a step; 1 is what the curvature says.
        history_size: how many pairs of differences are kept, each twice as large as the tensor.
        longest: root mean square of the changes that one step may make to the values of a problem.
        per_item: whether the first dimension of the tensor counts problems of their own. Otherwise the tensor is
            one problem, in which a step for one image of a batch would depend on the others.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1.0,
        history_size: int = 10,
        longest: float = 0.05,
        per_item: bool = True,
    ) -> None:
        for name, value in (("lr", lr), ("history_size", history_size), ("longest", longest)):
            if not value > 0:
                raise InputError(f"Expected `{name}` to be positive, but got {value}.")
        super().__init__(params, {"lr": lr, "history_size": history_size, "longest": longest, "per_item": per_item})
        if len(self.param_groups) != 1 or len(self.param_groups[0]["params"]) != 1:
            raise InputError("Expected one tensor to optimize, but got several.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluates the objective once and makes one step.

        Args:
            closure: evaluates the objective and its gradient.

        Returns:
            The objective before the step.
        """
        assert closure is not None
        with torch.enable_grad():
            loss = closure()
        group = self.param_groups[0]
        (parameter,) = group["params"]
        items = len(parameter) if group["per_item"] else 1
        gradient = parameter.grad.reshape(items, -1)
        state = self.state[parameter]
        if not state:
            state.update(_empty(gradient, group["history_size"]))
            move = _first_move(gradient, group["lr"])
        else:
            _remember(state, gradient)
            move = _move(state, gradient, group["lr"])
        slot = state["step"] % group["history_size"]
        state["step"] += 1
        state["gradient"].copy_(gradient)
        parameter.view(items, -1).add_(torch.mul(move, _share(move, group["longest"]), out=state["pairs"][:, slot]))
        return loss


def _empty(gradient: Tensor, history: int) -> dict[str, Any]:
    """The state before the first step.

    ``pairs``: differences of the tensor, then those of the gradient, ``(items, 2 history, values)``, of which the step
    with number k has the places ``k % history``. ``along``: products of each with the last gradient, ``(items, 2
    history)``. ``products``: of each with each difference of the gradient, ``(items, 2 history, history)``.
    ``valid``: 1 for each pair in use, ``(items, history)``. All in the tensor's precision, for that is what torch
    gives them when a state is loaded.
    """
    items, values = gradient.shape
    return {
        "step": 0,
        "pairs": gradient.new_zeros(items, 2 * history, values),
        "along": gradient.new_zeros(items, 2 * history),
        "products": gradient.new_zeros(items, 2 * history, history),
        "valid": gradient.new_zeros(items, history),
        "gradient": torch.empty_like(gradient),
    }


def _first_move(gradient: Tensor, lr: float) -> Tensor:
    length = gradient.abs().sum(dim=1, keepdim=True).reciprocal().clamp(max=1.0)
    return gradient * (-lr * length)


def _remember(state: dict[str, Any], gradient: Tensor) -> None:
    """Completes the last pair with the difference that its step made to the gradient, and all products with it."""
    history = state["valid"].shape[1]
    slot = (state["step"] - 1) % history
    pairs, products = state["pairs"], state["products"]
    torch.sub(gradient, state["gradient"], out=pairs[:, history + slot])
    before, state["along"] = state["along"], _products(pairs, gradient)
    # The new difference is that of two gradients whose products with all older rows are known.
    products[:, :, slot] = state["along"] - before
    products[:, slot, slot] = curvature = _dot(pairs[:, slot], pairs[:, history + slot])
    products[:, history + slot, slot] = _dot(pairs[:, history + slot], pairs[:, history + slot])
    products[:, history + slot] = products[:, history:, slot]
    state["valid"][:, slot] = curvature > LEAST_CURVATURE


def _move(state: dict[str, Any], gradient: Tensor, lr: float) -> Tensor:
    """The step ``-lr H g``, with ``H`` of the pairs in use, or none where it would lead upward."""
    scale, weights = _weights(state)
    uphill = (state["along"] * weights).sum(dim=1) + scale * _dot(gradient, gradient) <= 0
    lengths = torch.where(uphill, 0.0, -lr)[:, None]
    move = gradient * (scale[:, None] * lengths)
    for total, rows, blend_weights in zip(move, state["pairs"], weights * lengths, strict=True):
        _add(total, rows, blend_weights)
    return move


def _share(move: Tensor, longest: float) -> Tensor:
    """How much of a move is made, ``(items, 1)``."""
    size: Tensor = torch.linalg.vector_norm(move, dim=1, keepdim=True) * move.shape[1] ** -0.5
    return (longest / size).clamp(max=1.0)


def _weights(state: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """``H g`` as a combination: how often the gradient, and how often each row of ``pairs``.

    With ``S`` and ``Y`` the pairs in their order, ``R`` the upper triangle of ``S Y^T``, ``D`` its diagonal and ``c``
    the scale, ``H = c I + [S cY]^T [[R^-T (D + c Y Y^T) R^-1, -R^-T], [-R^-1, 0]] [S cY]``.
    """
    history = state["valid"].shape[1]
    # From the oldest to the newest; those that are not in use are like pairs of unit length across all others.
    order = torch.arange(state["step"], state["step"] + history, device=state["valid"].device) % history
    exact = torch.float32 if state["valid"].device.type == "mps" else torch.float64
    valid = state["valid"][:, order].to(exact)
    both = valid[:, :, None] * valid[:, None, :]
    sy, yy = (half[:, order][:, :, order].to(exact) * both for half in state["products"].split(history, dim=1))
    sg, yg = (half[:, order].to(exact) * valid for half in state["along"].split(history, dim=1))
    newest = (torch.arange(1, history + 1, device=valid.device) * valid).argmax(dim=1, keepdim=True)
    diagonal = torch.where(valid > 0, sy.diagonal(dim1=1, dim2=2), 1.0)
    lengths = yy.diagonal(dim1=1, dim2=2)
    scale = torch.where(valid.any(dim=1, keepdim=True), (diagonal / lengths).gather(1, newest), 1.0)
    upper = sy.triu(1) + torch.diag_embed(diagonal)
    inner = torch.linalg.solve_triangular(upper, sg[..., None], upper=True)
    middle = diagonal[..., None] * inner + scale[..., None] * (yy @ inner - yg[..., None])
    of_s = torch.linalg.solve_triangular(upper.mT, middle, upper=False)
    found = torch.cat([of_s[..., 0] * valid, -scale * inner[..., 0] * valid], dim=1)
    weights = torch.empty_like(state["along"])
    weights[:, torch.cat([order, order + history])] = found.to(weights.dtype)
    return scale[:, 0].to(weights.dtype), weights


def _by_blas(device: torch.device) -> bool:
    """Whether rows are multiplied and added all at once, rather than one by one, for which a GPU would wait.

    Not on CPUs: BLAS's sums depend there on where in memory the values lie, and a resumed run ends in the same bits.
    """
    return device.type != "cpu"


def _products(pairs: Tensor, gradient: Tensor) -> Tensor:
    """Of each row of ``(items, rows, values)`` with the item's of ``(items, values)``."""
    items = zip(pairs, gradient, strict=True)
    if _by_blas(pairs.device):
        return torch.stack([torch.mv(rows, values) for rows, values in items])
    # One place for all: where freed memory is given back, each would be cleared anew by the kernel.
    made = torch.empty_like(gradient[0])
    return torch.stack(
        [torch.stack([torch.mul(row, values, out=made).sum() for row in rows]) for rows, values in items]
    )


def _add(total: Tensor, rows: Tensor, blend_weights: Tensor) -> None:
    """Adds rows, ``(rows, values)``, times a share of each to ``(values,)``."""
    if _by_blas(rows.device):
        total.addmv_(rows.t(), blend_weights)
        return
    for row, share in zip(rows, blend_weights, strict=True):
        total.addcmul_(row, share)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(dim=1)
