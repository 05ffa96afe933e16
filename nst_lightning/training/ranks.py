"""The processes that share the evaluation of one image, one for each device."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Ranks:
    """The processes of a run. Each has all of the image and evaluates its share of the tiles.

    All methods but :meth:`share` must be called by all processes in the same order. With one process they return their
    argument.

    Attributes:
        number: number of this process, from 0. The first one writes the files of the run.
        count: number of processes.
    """

    number: int = 0
    count: int = 1

    @classmethod
    def of_process_group(cls) -> "Ranks":
        """Returns the processes of torch's default process group, or this process alone if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the first process."""
        return self.number == 0

    @property
    def are_several(self) -> bool:
        """Whether there is more than one process."""
        return self.count > 1

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Returns the items that this process evaluates."""
        return items[self.number :: self.count]

    def add(self, value: Tensor) -> Tensor:
        """Sums a tensor over all processes in place, with the same bits in each."""
        if self.are_several:
            dist.all_reduce(value)
        return value

    def add_named(self, values: Mapping[Key, Tensor], device: torch.device) -> dict[Key, Tensor]:
        """Sums named tensors over those processes that have them, in float64.

        Args:
            values: tensors by name; a name has one shape in all processes.
            device: device of the process.

        Returns:
            The sums of all names of all processes, with the same bits in each.
        """
        if not self.are_several:
            return dict(values)
        shapes = self.unite({name: value.shape for name, value in values.items()})
        flat = [
            values[name].double().flatten()
            if name in values
            else torch.zeros(shape.numel(), dtype=torch.float64, device=device)
            for name, shape in shapes.items()
        ]
        if not flat:
            return {}
        sums = torch.split(self.add(torch.cat(flat)), [shape.numel() for shape in shapes.values()])
        return {name: value.view(shape) for (name, shape), value in zip(shapes.items(), sums, strict=True)}

    def unite(self, values: Mapping[Key, Item]) -> dict[Key, Item]:
        """Unites the mappings of all processes; for a name of several processes, the first one's value counts."""
        if not self.are_several:
            return dict(values)
        mappings: list[Any] = [None] * self.count
        dist.all_gather_object(mappings, dict(values))
        united: dict[Key, Item] = {}
        for mapping in mappings:
            for name, value in mapping.items():
                united.setdefault(name, value)
        return united

    def swap(self, sent: Mapping[int, Tensor], received: Mapping[int, Tensor]) -> None:
        """Sends tensors to other processes and waits for theirs.

        Args:
            sent: contiguous tensors by the number of the process that receives them.
            received: contiguous tensors to fill, by the number of the process that sends them; each has the shape and
                data type of what is sent.
        """
        operations = [dist.P2POp(dist.isend, value, number) for number, value in sent.items()]
        operations += [dist.P2POp(dist.irecv, value, number) for number, value in received.items()]
        for work in dist.batch_isend_irecv(operations) if operations else ():
            work.wait()

    def copy_first(self, value: Tensor) -> Tensor:
        """Replaces a tensor in place by the first process's."""
        if self.are_several:
            dist.broadcast(value, src=0)
        return value

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether a condition holds in any process."""
        if not self.are_several:
            return value
        flag = torch.tensor(int(value), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)
