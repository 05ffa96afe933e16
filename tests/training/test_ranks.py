from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from nst_lightning.training.ranks import Ranks
from tests.training.process_group import join_processes

CPU = torch.device("cpu")


def test_one_process_does_everything_itself() -> None:
    ranks, value = Ranks.of_process_group(), torch.ones(3)
    assert ranks == Ranks(0, 1)
    assert ranks.is_first
    assert not ranks.are_several
    assert ranks.share([1, 2, 3]) == [1, 2, 3]
    assert ranks.add(value) is value
    assert ranks.add_named({"a": value}, CPU) == {"a": value}
    assert ranks.copy_first(value) is value
    assert ranks.unite({1: 2}) == {1: 2}
    assert ranks.any(True, CPU)
    assert not ranks.any(False, CPU)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_item_belongs_to_one_process(count: int) -> None:
    shares = [Ranks(number, count).share(range(7)) for number in range(count)]
    assert sorted(item for share in shares for item in share) == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def check_swap(ranks: Ranks) -> None:
    """Sends parts of any size in both directions, or in one; the second and third process have nothing in common."""
    sizes = {(0, 1): 3, (1, 0): 1, (2, 0): 2}
    sent = {to: torch.full((size,), 1.0 + source) for (source, to), size in sizes.items() if source == ranks.number}
    received = {source: torch.zeros(size) for (source, to), size in sizes.items() if to == ranks.number}
    ranks.swap(sent, received)
    assert all(bool((value == 1.0 + source).all()) for source, value in received.items())
    half = {n: torch.full((2, 2), float(n), dtype=torch.bfloat16) for n in range(3) if n != ranks.number}
    own = {n: torch.empty(2, 2, dtype=torch.bfloat16) for n in half}
    ranks.swap(half, own)
    assert all(bool((value == ranks.number).all()) for value in own.values())


def check_rank(rank: int, store: str) -> None:
    """Checks the methods in the second and third process too, in which names are missing."""
    with join_processes(rank, 3, store):
        ranks = Ranks.of_process_group()
        assert ranks == Ranks(rank, 3)
        assert ranks.is_first == (rank == 0)
        assert torch.equal(ranks.add(torch.tensor([1.0, rank])), torch.tensor([3.0, 3.0]))
        own = {0: {}, 1: {"a": torch.ones(2, 2)}, 2: {"b": torch.tensor(4.0), "a": torch.full((2, 2), 0.5)}}[rank]
        sums = ranks.add_named(own, CPU)
        assert list(sums) == ["a", "b"]
        assert torch.equal(sums["a"], torch.full((2, 2), 1.5, dtype=torch.float64))
        assert sums["b"] == 4
        assert ranks.add_named({}, CPU) == {}
        assert ranks.unite({"same": rank, rank: "own"}) == {"same": 0, 0: "own", 1: "own", 2: "own"}
        assert torch.equal(ranks.copy_first(torch.full((3,), float(rank))), torch.zeros(3))
        check_swap(ranks)
        assert ranks.any(rank == 2, CPU)
        assert not ranks.any(False, CPU)


def test_several_processes_exchange_values(tmp_path: Path) -> None:
    spawn(check_rank, (str(tmp_path / "store"),), nprocs=3)  # type: ignore[no-untyped-call]
