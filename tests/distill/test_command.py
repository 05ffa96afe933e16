"""Runs of the command with a tiny student and a random teacher, on synthetic pictures."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nst_lightning.backbones import SlimVGG19
from nst_lightning.distill.command import main
from nst_lightning.distill.teachers import DISTILLED_LAYERS
from nst_lightning.errors import InputError
from tests.helpers import CONFIGS

WIDTHS = "[4,4,5,5,6,6,6,6,7,7,7,7,7]"

pytestmark = [
    # Lightning 2.6 calls torch in a way that torch 2.10 and later deprecate.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    # The runs here are two or three steps long.
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    # A resumed run finds the checkpoints of the first.
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    # The batches are created in the main process.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning 2.6 calls functions that jsonargparse 4.49 deprecates.
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]


def create_arguments(teacher: Path, compressed: Path, folder: Path, run: Path, epochs: int = 1) -> list[str]:
    checkpoints = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"dirpath": str(run), "save_last": True},
    }
    return [
        f"--config={CONFIGS / 'distill.yaml'}",
        f"--model.vgg={teacher}",
        f"--model.compressed={compressed}",
        f"--model.widths={WIDTHS}",
        f"--data.folders=[{folder}]",
        "--data.size=64",
        "--data.batch_size=2",
        "--data.steps=2",
        "--data.measured_batches=2",
        f"--trainer.max_epochs={epochs}",
        "--trainer.accelerator=cpu",
        f"--trainer.callbacks=[{checkpoints}]",
        "--trainer.logger=false",
        "--trainer.enable_progress_bar=false",
        f"--trainer.default_root_dir={run}",
        f"--output={run / 'thin.safetensors'}",
    ]


def test_distill_writes_weights_that_slim_vgg19_reads(
    teacher: Path, compressed: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(create_arguments(teacher, compressed, folder, tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "conv_13" in printed
    backbone = SlimVGG19(str(tmp_path / "thin.safetensors"))
    backbone.build(DISTILLED_LAYERS)
    assert [value.shape[1] for value in backbone(torch.rand(1, 3, 32, 32), DISTILLED_LAYERS).values()] == [
        *[4, 4, 5, 5],
        *[6] * 4,
        *[7] * 5,
    ]
    data = f"--data.folders=[{folder}]", "--data={size: 64, batch_size: 2, measured_batches: 2}"
    file = str(tmp_path / "thin.safetensors")
    assert main(["measure", "--weights", file, "--vgg", str(teacher), "--compressed", str(compressed), *data]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == printed.splitlines()[-1]


def test_distill_resumes_where_it_stopped(teacher: Path, compressed: Path, folder: Path, tmp_path: Path) -> None:
    main(create_arguments(teacher, compressed, folder, tmp_path))
    first = torch.load(tmp_path / "last.ckpt", weights_only=True)
    main([*create_arguments(teacher, compressed, folder, tmp_path, epochs=2), "--ckpt_path=last"])
    second = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (first["global_step"], second["global_step"]) == (2, 4)
    changes = [
        (second["state_dict"][name] - value).abs().max() / value.abs().max()
        for name, value in first["state_dict"].items()
        if name.startswith("convolutions") and name.endswith("weight")
    ]
    assert len(changes) == 13
    assert 0 < max(changes) < 0.1  # trained further, not initialized again


def test_distill_checkpoint_contains_the_student_but_no_teacher(
    teacher: Path, compressed: Path, folder: Path, tmp_path: Path
) -> None:
    main(create_arguments(teacher, compressed, folder, tmp_path))
    names = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.split(".")[0] for name in names} == {"convolutions", "read_outs", "started"}


def test_distill_weights_name_their_sources(teacher: Path, compressed: Path, folder: Path, tmp_path: Path) -> None:
    main(create_arguments(teacher, compressed, folder, tmp_path))
    assert {tensor.dtype for tensor in load_file(tmp_path / "thin.safetensors").values()} == {torch.float16}


def test_distill_rejects_an_output_that_is_a_folder_before_the_training(
    teacher: Path, compressed: Path, folder: Path, tmp_path: Path
) -> None:
    args = [*create_arguments(teacher, compressed, folder, tmp_path), f"--output={folder}"]
    with pytest.raises(InputError, match="is a directory"):
        main(args)
    assert not list(tmp_path.rglob("*.ckpt"))
