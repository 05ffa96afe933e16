from pathlib import Path

import lightning.pytorch as pl

from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.images.io import Picture
from nst_lightning.losses import ContentLoss
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.run_folder import run_folder
from nst_lightning.training.run_state import RunState
from tests.callbacks.fits import CONTENT, create_logger
from tests.helpers import TinyBackbone, ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


def test_run_folder_and_steps_of_a_run(tmp_path: Path) -> None:
    trainer = pl.Trainer(logger=create_logger(tmp_path), max_steps=7, accelerator="cpu")
    data = TransferData.from_pictures(Picture(CONTENT), [], Plan(size=512, steps=5, ladder="octaves"))
    run = RunState(trainer, StyleTransfer(TinyBackbone(), {"content": ContentLoss(["conv_1"])}), data)
    assert run.folder == tmp_path / "run" / "version_0"
    assert run.planned_steps == 7
    assert run_folder(pl.Trainer(logger=False, max_epochs=1, accelerator="cpu")) is None
