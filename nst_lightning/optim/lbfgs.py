"""L-BFGS for one tensor: one evaluation and one update of bounded length per step, images of a batch kept separate."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.optim import Optimizer

from nst_lightning.errors import InputError

# Data type of the stored pairs; float32 stands for the precision of the tensor.
HistoryDtype = Literal["float32", "bfloat16"]

# Largest `history_size`; each of its pairs is as large as two images.
MAX_HISTORY_SIZE = 10_000

# A pair is skipped if the product of its two differences is not larger than this, as in torch.optim.LBFGS.
MIN_CURVATURE = 1e-10


class CompactLBFGS(Optimizer):
    """L-BFGS without line search, in the compact representation of Byrd, Nocedal and Schnabel 1994 (eq. 3.1).

    The iterates are those of ``torch.optim.LBFGS(max_iter=1)``. Torch loops twice over the stored pairs of differences,
    with two operations for each; here two products with all pairs replace both loops, and no step waits for the
    device. There are two differences: a pair that is skipped for lack of curvature still replaces the oldest pair, and
    no update is longer than `longest`. Without a line search, the first pairs, and pairs that are mostly bfloat16
    rounding errors near a minimum, can ask for an update from which the image does not recover.

    Args:
        params: the one tensor to optimize.
        lr: factor on every update, positive; 1 is the length that the estimated curvature gives.
        history_size: number of stored pairs of differences, positive; each needs twice the memory of the tensor.
        longest: upper bound of the root mean square change of the values in one step, positive.
        per_item: whether each item of the tensor's first dimension is a separate problem. Otherwise the whole tensor
            is one problem, and the update of one image of a batch depends on the others.
        history_dtype: data type of the stored pairs: `float32` (the precision of the tensor) or `bfloat16`, which takes
            half the memory. Updates and changes of the gradient are then rounded to bfloat16; the image moves by the
            rounded update, and all products are of rounded pairs, so that they still describe one quadratic function.

    Raises:
        InputError: a number is not positive, there is more than one tensor, or the data type is unknown.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1.0,
        history_size: int = 10,
        longest: float = 0.05,
        per_item: bool = True,
        history_dtype: HistoryDtype = "float32",
    ) -> None:
        for name, value in (("lr", lr), ("history_size", history_size), ("longest", longest)):
            if not value > 0:
                raise InputError(f"Expected `{name}` to be positive, but got {value}.")
        if history_size > MAX_HISTORY_SIZE:
            raise InputError(f"Expected `history_size` to be at most {MAX_HISTORY_SIZE}, but got {history_size}.")
        if history_dtype not in get_args(HistoryDtype):
            raise InputError(f"Expected `history_dtype` to be float32 or bfloat16, but got {history_dtype}.")
        options = {"lr": lr, "history_size": history_size, "longest": longest, "per_item": per_item}
        super().__init__(params, options | {"history_dtype": history_dtype})
        if len(self.param_groups) != 1 or len(self.param_groups[0]["params"]) != 1:
            raise InputError("Expected one tensor to optimize, but got several.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluates the objective once and updates the tensor once.

        Args:
            closure: evaluates the objective and its gradient; required.

        Returns:
            The objective before the update.
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
            state.update(_create_state(gradient, group["history_size"], group["history_dtype"]))
            # As in torch: along the gradient, no longer than the learning rate in the 1-norm.
            length = gradient.abs().sum(dim=1, keepdim=True).reciprocal().clamp(max=1.0)
            update = gradient * (-group["lr"] * length)
        else:
            _complete_pair(state, gradient)
            update = _quasi_newton_update(state, gradient, group["lr"])
        slot = state["step"] % group["history_size"]
        state["step"] += 1
        state["gradient"].copy_(gradient)
        size = torch.linalg.vector_norm(update, dim=1, keepdim=True) * update.shape[1] ** -0.5
        scale = (group["longest"] / size).clamp(max=1.0)
        # The scaled update is the first half of a new pair; the next step completes it.
        parameter.view(items, -1).add_(torch.mul(update, scale, out=state["pairs"][:, slot]))
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads a state; pairs of another `history_dtype` are converted to that of this optimizer.

        Args:
            state_dict: what `state_dict` has returned, also of a version without `history_dtype`.
        """
        own: HistoryDtype = self.param_groups[0]["history_dtype"]
        saved = [state["pairs"].dtype for state in state_dict["state"].values() if "pairs" in state]
        # Torch converts all values to the precision of the tensor, which loses nothing, and takes the saved options.
        super().load_state_dict(state_dict)
        self.param_groups[0]["history_dtype"] = own
        for state, before in zip(self.state.values(), saved, strict=True):
            state["pairs"] = state["pairs"].to(_pair_dtype(state["gradient"], own))
            if state["pairs"].dtype == torch.bfloat16 != before:
                _multiply_all(state)


def _pair_dtype(values: Tensor, history_dtype: HistoryDtype) -> torch.dtype:
    return torch.bfloat16 if history_dtype == "bfloat16" else values.dtype


def _create_state(gradient: Tensor, history: int, history_dtype: HistoryDtype) -> dict[str, Any]:
    """Creates the state before the first step, all but the pairs in the precision of the tensor.

    - ``pairs``: differences of the tensor, then those of the gradient, ``(items, 2 * history, values)``; step k
      writes rows ``k % history`` and ``history + k % history``.
    - ``along``: products of each row of ``pairs`` with the last gradient, ``(items, 2 * history)``.
    - ``products``: products of each row with each difference of the gradient, ``(items, 2 * history, history)``.
    - ``valid``: 1 for each pair in use, ``(items, history)``.
    - ``gradient``: the last gradient, ``(items, values)``.
    """
    items, values = gradient.shape
    return {
        "step": 0,
        "pairs": gradient.new_zeros(items, 2 * history, values, dtype=_pair_dtype(gradient, history_dtype)),
        "along": gradient.new_zeros(items, 2 * history),
        "products": gradient.new_zeros(items, 2 * history, history),
        "valid": gradient.new_zeros(items, history),
        "gradient": torch.empty_like(gradient),
    }


def _complete_pair(state: dict[str, Any], gradient: Tensor) -> None:
    """Stores the change of the gradient since the last step, and all products with it."""
    history = state["valid"].shape[1]
    slot = (state["step"] - 1) % history
    pairs, products = state["pairs"], state["products"]
    torch.sub(gradient, state["gradient"], out=pairs[:, history + slot])
    previous, state["along"] = state["along"], _multiply_rows(pairs, gradient)
    if pairs.dtype == gradient.dtype:
        # Products with the change of the gradient: those with the new gradient less those with the previous one.
        products[:, :, slot] = state["along"] - previous
        products[:, slot, slot] = _dot(pairs[:, slot], pairs[:, history + slot])
        products[:, history + slot, slot] = _dot(pairs[:, history + slot], pairs[:, history + slot])
    else:
        # The rounded change is not the difference of two gradients.
        products[:, :, slot] = _multiply_rows(pairs, pairs[:, history + slot].to(gradient.dtype))
    products[:, history + slot] = products[:, history:, slot]
    state["valid"][:, slot] = products[:, slot, slot] > MIN_CURVATURE


def _multiply_all(state: dict[str, Any]) -> None:
    """Computes all products of the stored pairs, which have been rounded."""
    pairs, gradient, history = state["pairs"], state["gradient"], state["valid"].shape[1]
    state["along"] = _multiply_rows(pairs, gradient)
    for slot in range(history):
        state["products"][:, :, slot] = _multiply_rows(pairs, pairs[:, history + slot].to(gradient.dtype))
        state["valid"][:, slot] *= state["products"][:, slot, slot] > MIN_CURVATURE


def _quasi_newton_update(state: dict[str, Any], gradient: Tensor, lr: float) -> Tensor:
    """Computes ``-lr H g``, with ``H`` the inverse Hessian estimated from the valid pairs; 0 if it points uphill."""
    scale, weights = _inverse_hessian_weights(state)
    is_uphill = (state["along"] * weights).sum(dim=1) + scale * _dot(gradient, gradient) <= 0
    lengths = torch.where(is_uphill, 0.0, -lr)[:, None]
    update = gradient * (scale[:, None] * lengths)
    for total, rows, row_weights in zip(update, state["pairs"], weights * lengths, strict=True):
        _add_weighted_rows(total, rows, row_weights)
    return update


def _inverse_hessian_weights(state: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Expresses ``H g`` as a linear combination of the gradient and the rows of ``pairs``.

    ``H = c I + [S cY]^T [[R^-T (D + c Y Y^T) R^-1, -R^-T], [-R^-1, 0]] [S cY]`` with the pairs ``S`` and ``Y`` in
    chronological order, ``R`` the upper triangle of ``S Y^T``, ``D`` its diagonal and ``c`` the scale of the newest
    valid pair, ``s y / (y y)``.

    Returns:
        The weight of the gradient, ``(items,)``, and those of the rows, ``(items, 2 * history)``.
    """
    history = state["valid"].shape[1]
    # Oldest to newest. Invalid pairs are treated as unit vectors orthogonal to all others.
    order = torch.arange(state["step"], state["step"] + history, device=state["valid"].device) % history
    precision = torch.float32 if state["valid"].device.type == "mps" else torch.float64
    valid = state["valid"][:, order].to(precision)
    both_valid = valid[:, :, None] * valid[:, None, :]
    sy, yy = (
        half[:, order][:, :, order].to(precision) * both_valid for half in state["products"].split(history, dim=1)
    )
    sg, yg = (half[:, order].to(precision) * valid for half in state["along"].split(history, dim=1))
    newest = (torch.arange(1, history + 1, device=valid.device) * valid).argmax(dim=1, keepdim=True)
    diagonal = torch.where(valid > 0, sy.diagonal(dim1=1, dim2=2), 1.0)
    squared_lengths = yy.diagonal(dim1=1, dim2=2)
    scale = torch.where(valid.any(dim=1, keepdim=True), (diagonal / squared_lengths).gather(1, newest), 1.0)
    upper = sy.triu(1) + torch.diag_embed(diagonal)
    inner = torch.linalg.solve_triangular(upper, sg[..., None], upper=True)
    middle = diagonal[..., None] * inner + scale[..., None] * (yy @ inner - yg[..., None])
    outer = torch.linalg.solve_triangular(upper.mT, middle, upper=False)
    ordered_weights = torch.cat([outer[..., 0] * valid, -scale * inner[..., 0] * valid], dim=1)
    weights = torch.empty_like(state["along"])
    weights[:, torch.cat([order, order + history])] = ordered_weights.to(weights.dtype)
    return scale[:, 0].to(weights.dtype), weights


def _uses_blas(rows: Tensor, values: Tensor) -> bool:
    """Whether all rows are multiplied by one BLAS call, rather than in a loop that would keep a GPU waiting.

    Not on CPUs: there the rounding of BLAS depends on the alignment of the values in memory, and a resumed run has to
    end in the same bits. Nor for rows of another precision, which BLAS does not multiply.
    """
    return rows.device.type != "cpu" and rows.dtype == values.dtype


def _multiply_rows(pairs: Tensor, gradient: Tensor) -> Tensor:
    """Multiplies each row of ``(items, rows, values)`` by the gradient of its item, ``(items, values)``."""
    items = zip(pairs, gradient, strict=True)
    if _uses_blas(pairs, gradient):
        return torch.stack([torch.mv(rows, values) for rows, values in items])
    # One buffer for all products: where freed memory is returned, the kernel would clear a new one for each.
    buffer = torch.empty_like(gradient[0])
    return torch.stack(
        [torch.stack([torch.mul(row, values, out=buffer).sum() for row in rows]) for rows, values in items]
    )


def _add_weighted_rows(total: Tensor, rows: Tensor, weights: Tensor) -> None:
    """Adds the rows of ``(rows, values)``, each times its weight, to ``(values,)`` in place."""
    if _uses_blas(rows, total):
        total.addmv_(rows.t(), weights)
        return
    for row, weight in zip(rows, weights, strict=True):
        total.addcmul_(row, weight)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(dim=1)
