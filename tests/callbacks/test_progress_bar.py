import pytest
import torch
from torch import Tensor

from nst_lightning.callbacks import (
    StageProgressBar,
)
from tests.callbacks.fits import fit_module
from tests.helpers import ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


def test_progress_bar_reads_the_loss_only_when_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    original = Tensor.__float__

    def counting(value: Tensor) -> float:
        reads.append(1)
        return original(value)

    monkeypatch.setattr(Tensor, "__float__", counting)
    fit_module(StageProgressBar(), optimizer=lambda p: torch.optim.Adam(p), steps=25, enable_progress_bar=True)
    # At steps 10, 20 and 25, and at the end of the epoch.
    assert len(reads) == 4
