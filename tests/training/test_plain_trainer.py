"""A script that uses Lightning's Trainer without any argument of ours."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from nst_lightning import ContentLoss, GramLoss, Plan, StyleTransfer, TransferData
from tests.helpers import TinyBackbone, ignore_lightning_warnings, write_pair

pytestmark = [
    ignore_lightning_warnings,
    # A Trainer without arguments has no `max_epochs`; a plan ends by itself.
    pytest.mark.filterwarnings("ignore:`max_epochs` was not set"),
    # Each Trainer has a new version folder, to which a resumed ModelCheckpoint says that it moves.
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]

PLANS = {"one size": Plan(size=32, steps=6), "two sizes": Plan(size=32, steps=6, ladder="octaves", smallest=16)}


def create_module() -> StyleTransfer:
    losses = {"content": ContentLoss(["conv_2"]), "style": GramLoss(["conv_1", "conv_3"], weight=1e3)}
    return StyleTransfer(TinyBackbone(), losses)  # type: ignore[arg-type]


def create_data(folder: Path, plan: Plan) -> TransferData:
    content, style = write_pair(folder)
    return TransferData(str(content), str(style), plan=plan)


def find_checkpoint(trainer: Trainer) -> Path:
    """Returns the checkpoint that Lightning's default ModelCheckpoint has written."""
    assert trainer.log_dir is not None
    (path,) = (Path(trainer.log_dir) / "checkpoints").glob("*.ckpt")
    return path


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_plain_trainer_paints_the_plan(plan: Plan, empty_folder: Path) -> None:
    module, data = create_module(), create_data(empty_folder, plan)
    trainer = Trainer()
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == sum(stage.steps for stage in data.stages)
    assert module.image.shape == (1, 3, 24, 32)
    saved = torch.load(find_checkpoint(trainer), weights_only=True)
    assert list(saved["state_dict"]) == ["image"]
    assert torch.equal(saved["state_dict"]["image"], module.image)


@pytest.mark.parametrize("cut", [2, 8])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_plain_trainer_resumes_its_default_checkpoint(plan: Plan, cut: int, empty_folder: Path) -> None:
    whole, data = create_module(), create_data(empty_folder, plan)
    Trainer().fit(whole, datamodule=data)
    first = Trainer(max_steps=cut)
    first.fit(create_module(), datamodule=create_data(empty_folder, plan))
    resumed, second = create_module(), Trainer()
    second.fit(resumed, datamodule=create_data(empty_folder, plan), ckpt_path=find_checkpoint(first))
    assert second.global_step == sum(stage.steps for stage in data.stages)
    assert torch.equal(resumed.image, whole.image)
