from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest

from nst_lightning.callbacks import ResultWriter
from nst_lightning.errors import InputError
from tests.callbacks.fits import fit_module
from tests.helpers import ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


def test_result_is_written_on_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Fail(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *unused: Any) -> None:
            if trainer.global_step == 2:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit_module(ResultWriter(str(tmp_path / "a.png")), Fail(), steps=5)
    assert (tmp_path / "a.png").exists()
    assert "16x12 px, step 2 of 5" in capsys.readouterr().out


def test_depth_of_a_format_without_it_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"for a depth of 16 bits, but got .*a\.jpg"):
        ResultWriter(str(tmp_path / "a.jpg"), depth=16)
    assert ResultWriter(str(tmp_path / "a.png"), depth=16).depth == 16
