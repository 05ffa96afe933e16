import pytest
import torch

from tests.benchmark.loops import create_loops


def test_reference_loop_has_our_objective() -> None:
    plain, ours = create_loops()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = sum(term.item() for term in ours.module.criterion(image).values())
    assert plain.objective(image).item() == pytest.approx(expected, rel=1e-3)
