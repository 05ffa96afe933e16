"""An optimizer for each picture of a batch."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Separately(Optimizer):
    """Steps each item of a batch with an optimizer of its own, after one evaluation for all of them.

    L-BFGS takes its inner products over all that it optimizes, so one of them over a batch would couple the pictures.
    Here each has its own curvature and its own step length, and goes the way it would go alone. It serves every
    optimizer that evaluates its closure once a step.

    Args:
        parameters: one tensor ``(batch, ...)``, to be changed in place.
        factory: makes the optimizer of an item.
    """

    def __init__(self, parameters: Iterable[Tensor], factory: Callable[[list[Tensor]], Optimizer]) -> None:
        (self._batch,) = parameters = list(parameters)
        super().__init__(parameters, {})
        # Each shares the memory of the batch.
        self._items = [self._batch.detach()[n : n + 1].requires_grad_() for n in range(len(self._batch))]
        self._optimizers = [factory([item]) for item in self._items]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluates once and steps every item."""
        assert closure is not None
        with torch.enable_grad():
            objective = closure()
        assert self._batch.grad is not None
        for n, (item, optimizer) in enumerate(zip(self._items, self._optimizers, strict=True)):
            item.grad = self._batch.grad[n : n + 1]
            optimizer.step(lambda: objective)
        return objective

    def state_dict(self) -> dict[str, Any]:
        """The states of all."""
        return super().state_dict() | {"items": [optimizer.state_dict() for optimizer in self._optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores all."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "items"})
        for optimizer, state in zip(self._optimizers, state_dict["items"], strict=True):
            optimizer.load_state_dict(state)
