import pytest
import torch

from nst_lightning.distill.painted_pool import PaintedPool
from nst_lightning.distill.student import Student


@pytest.fixture(scope="module")
def student() -> Student:
    network = Student([4] * 13)
    network.build(["conv_8"])
    return network


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_painted_pool_replaces_a_share_of_the_batch(student: Student, share: float) -> None:
    batches = torch.rand(2, 4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    pool = PaintedPool(share, steps=1_000_000)
    for batch in batches:
        batch_with_pool = pool.exchange(batch, student)
    replaced = [not torch.equal(a, b) for a, b in zip(batch_with_pool, batches[1], strict=True)]
    assert replaced == [number < share * 4 for number in range(4)]


def test_painted_pool_updates_pictures_by_one_step(student: Student) -> None:
    batch = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    pool = PaintedPool(0.5, steps=1_000_000)
    first, second = (pool.exchange(batch, student)[:2] for _ in range(2))
    for before, after in ((batch[:2], first), (first, second)):
        sizes = (after - before).abs().mean((1, 2, 3))
        assert (sizes > 0).all()
        assert (sizes <= 0.023).all()
