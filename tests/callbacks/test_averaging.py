from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from nst_lightning.__main__ import main
from nst_lightning.callbacks import ImageAveraging
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image
from nst_lightning.losses import ContentLoss
from nst_lightning.training.module import StyleTransfer
from tests.helpers import CONFIGS, QUICK, TinyBackbone, write_pair


def test_average_equals_the_closed_form() -> None:
    images = [torch.rand(1, 3, 4, 5) for _ in range(6)]
    callback, module = ImageAveraging(decay=0.7), StyleTransfer(TinyBackbone(), {"content": ContentLoss(["conv_1"])})
    module.image = nn.Parameter(images[0].clone())
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.datamodule = TransferData.from_pictures(Picture(images[0]), [], Plan(steps=6))  # type: ignore[attr-defined]
    for number, image in enumerate(images, 1):
        module.image.data.copy_(image)
        callback.on_train_batch_end(trainer)
        if number == 3:
            weights = torch.tensor([0.7**2, 0.7, 1.0])
            expected = torch.stack(images[:3]).mul(weights.view(3, 1, 1, 1, 1)).sum(0) / weights.sum()
            torch.testing.assert_close(callback.average(), expected)
            torch.testing.assert_close(module.image.data, image)
    weights = torch.tensor([0.7**k for k in range(5, -1, -1)])
    expected = torch.stack(images).mul(weights.view(6, 1, 1, 1, 1)).sum(0) / weights.sum()
    torch.testing.assert_close(module.image.data, expected)
    assert callback.state_dict() == {"sum": None, "steps": 0}


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_average_rejects_invalid_decays(decay: float) -> None:
    with pytest.raises(InputError, match="decay"):
        ImageAveraging(decay)


def test_run_with_averaging_and_a_ladder_resumes_bitwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)

    def paint(name: str, *args: str) -> Tensor:
        recipe = [f"--config={CONFIGS / 'transfer.yaml'}", *QUICK, "--config=averaging.yaml"]
        plan = ["--data.plan.steps=4", "--data.plan.ladder=octaves", "--data.plan.smallest=16"]
        logger = f"--trainer.logger.init_args.name={name}"
        assert main(["fit", *recipe, *plan, "--model.optimizer=Adam", logger, *args]) == 0
        return read_image(f"logs/{name}/version_0/stylized.png").image

    Path("averaging.yaml").write_text(
        "trainer: {callbacks: [{class_path: ImageAveraging, init_args: {decay: 0.8}}]}\n"
        "data: {content: content.png, style: style.png}\nmodel: {initialization: noise}\n"
    )
    whole = paint("whole")
    for cut in (2, 4, 6):
        paint(f"cut{cut}", f"--trainer.max_steps={cut}")
        assert torch.equal(paint(f"cut{cut}", "--ckpt_path=last"), whole), cut
