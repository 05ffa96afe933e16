"""Runs that end early and are resumed."""

import json
import signal
from typing import Any

import pytest
import torch
import yaml

from nst_lightning.images.io import read_image
from nst_lightning.training.module import StyleTransfer
from tests.cli.transfer_run import read_checkpoint, read_events, run_folder, start_transfer
from tests.helpers import PAUSING_LBFGS, finish_command, release, wait_for_pause


@pytest.mark.parametrize("optimizer", ["CompactLBFGS", "Adam"])
@pytest.mark.parametrize("ladder", ["none", "octaves"])
@pytest.mark.parametrize("cut", [2, 3, 4])
def test_resumed_run_equals_the_whole_run_bitwise(run_transfer: Any, optimizer: str, ladder: str, cut: int) -> None:
    steps = 6 if ladder == "none" else 3
    args = [f"--data.plan.steps={steps}", f"--data.plan.ladder={ladder}", "--data.plan.smallest=16"]
    if optimizer == "Adam":
        args += ["--model.optimizer=Adam", "--model.optimizer.lr=0.05"]
    assert run_transfer(*args) == 0
    assert run_transfer(*args, f"--trainer.max_steps={cut}") == 0
    assert not torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])
    assert run_transfer(*args, "--ckpt_path=last") == 0
    assert not run_folder(2).exists()
    assert read_checkpoint(1)["global_step"] == read_checkpoint(0)["global_step"] == 6
    assert torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])
    assert (run_folder(0) / "stylized.png").read_bytes()[-2000:] == (run_folder(1) / "stylized.png").read_bytes()[
        -2000:
    ]


@pytest.mark.parametrize("cut", [1, 2, 4, 5])
@pytest.mark.parametrize("per_layer", ["false", "true"])
def test_resumed_run_with_neighbors_equals_the_whole_run_bitwise(run_transfer: Any, cut: int, per_layer: str) -> None:
    args = ["--data.plan.steps=3", "--data.plan.ladder=octaves", "--data.plan.smallest=16"]
    args += ["--model.losses.style=NeighborLoss", "--model.losses.style.every=2", "--model.losses.style.weight=10"]
    args += ["--model.losses.style.layers=[conv_1,relu_3]", f"--model.losses.style.per_layer={per_layer}"]
    assert run_transfer(*args) == 0
    assert run_transfer(*args, f"--trainer.max_steps={cut}") == 0
    assert run_transfer(*args, "--ckpt_path=last") == 0
    assert torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])


NEIGHBOR = ["--model.losses.lines=NeighborLoss", "--model.losses.lines.layers=[conv_1,relu_3]"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], NEIGHBOR),
        (NEIGHBOR, []),
        (NEIGHBOR, [*NEIGHBOR, "--model.losses.lines.per_layer=true"]),
        (NEIGHBOR, [*NEIGHBOR, "--model.losses.lines.stride=2"]),
        (NEIGHBOR, [*NEIGHBOR, "--data.style_scale=0.5"]),
    ],
    ids=["added", "removed", "per layer", "other stride", "smaller style"],
)
def test_run_resumes_with_other_neighbors(run_transfer: Any, before: list[str], after: list[str]) -> None:
    assert run_transfer(*before, "--data.plan.steps=6", "--trainer.max_steps=3") == 0
    assert run_transfer(*after, "--data.plan.steps=6", "--ckpt_path=last") == 0
    saved = read_checkpoint()
    assert saved["global_step"] == 6
    assert torch.isfinite(saved["state_dict"]["image"]).all()
    states = [name for name in saved["state_dict"] if name.endswith("_extra_state")]
    assert states == (["objective.losses.lines._extra_state"] if after else [])


@pytest.mark.parametrize("optimizer", ["CompactLBFGS", "Adam"])
@pytest.mark.parametrize(("cut", "then"), [(3, 3), (4, 3), (5, 2), (7, 1), (2, 9)])
def test_iterations_per_step_keep_the_result_bitwise(run_transfer: Any, optimizer: str, cut: int, then: int) -> None:
    args = ["--data.plan.steps=7", "--data.plan.ladder=octaves", "--data.plan.smallest=16"]
    if optimizer == "Adam":
        args += ["--model.optimizer=Adam", "--model.optimizer.lr=0.5"]  # so large that values are clipped
    assert run_transfer(*args) == 0
    # Training steps of 3, 3 and 1 evaluations at each size, resumed with another number of evaluations.
    assert run_transfer(*args, "--data.plan.iterations_per_step=3", f"--trainer.max_steps={cut}") == 0
    assert read_checkpoint(1)["global_step"] == cut
    assert run_transfer(*args, f"--data.plan.iterations_per_step={then}", "--ckpt_path=last") == 0
    assert read_checkpoint(1)["global_step"] == read_checkpoint(0)["global_step"] == 14
    assert torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])


def test_iterations_per_step_keep_the_steps_of_curves(run_transfer: Any) -> None:
    args = ["--data.plan.steps=30", "--previews.every_n_steps=7", "--snapshots.at_steps=[10,30]"]
    assert run_transfer(*args) == 0
    assert run_transfer(*args, "--data.plan.iterations_per_step=5") == 0
    curves = [{e.step: e.value for e in read_events(number).Scalars("loss/total")} for number in (0, 1)]
    assert list(curves[1]) == [9, 19, 29]
    # The loss of a step is the one before its last update.
    assert curves[0] == curves[1]
    assert [event.step for event in read_events(1).Images("image/stylized")] == [10, 15, 25, 30]
    for name in ("step_000010.png", "step_000030.png"):
        assert torch.equal(*(read_image(run_folder(number) / name).image for number in (0, 1)))


def test_iterations_per_step_reject_snapshots_between_steps(
    run_transfer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_transfer("--data.plan.steps=8", "--data.plan.iterations_per_step=4", "--snapshots.at_steps=[4,6]") == 1
    assert "ends of training steps of 4 evaluations, but got 6" in capsys.readouterr().err
    assert not run_folder().exists()


@pytest.mark.parametrize("optimizer", ["CompactLBFGS", "Adam"])
def test_resumed_run_accepts_a_longer_plan(run_transfer: Any, optimizer: str) -> None:
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05"] if optimizer == "Adam" else []
    run_transfer(*args, "--data.plan.steps=8")
    run_transfer(*args, "--data.plan.steps=4")
    assert run_transfer(*args, "--data.plan.steps=8", f"--ckpt_path={run_folder(1)}/checkpoints/last.ckpt") == 0
    assert torch.equal(read_checkpoint(2)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])


def test_resumed_finished_run_changes_nothing(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run_transfer()
    before = (run_folder() / "stylized.png").read_bytes()
    assert run_transfer("--ckpt_path=last") == 0
    assert (run_folder() / "stylized.png").read_bytes() == before
    assert "All steps of this checkpoint's plan are made" in capsys.readouterr().out


def test_run_that_ends_early_is_finished(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--data.plan.steps=40", "--data.plan.tolerance=0.9", "--snapshots.at_steps=[5,30]"]
    assert run_transfer(*args) == 0
    assert "step 21 of 21" in capsys.readouterr().out
    summary = json.loads((run_folder() / "summary.json").read_text())
    assert (summary["steps"], summary["planned"], summary["curves"]["step"][-1]) == (21, 21, 21)
    assert [path.name for path in run_folder().glob("step_*.png")] == ["step_000005.png"]
    image = read_checkpoint()["state_dict"]["image"]
    assert run_transfer(*args, "--ckpt_path=last") == 0
    assert "or a smaller data.plan.tolerance, continues it" in capsys.readouterr().out
    assert torch.equal(read_checkpoint()["state_dict"]["image"], image)
    assert run_transfer("--data.plan.steps=40", "--ckpt_path=last") == 0
    assert run_transfer("--data.plan.steps=40") == 0
    assert read_checkpoint(0)["global_step"] == read_checkpoint(1)["global_step"] == 40
    assert torch.equal(read_checkpoint(0)["state_dict"]["image"], read_checkpoint(1)["state_dict"]["image"])


def test_saved_configuration_of_a_resumed_run_starts_from_the_beginning(run_transfer: Any) -> None:
    run_transfer("--trainer.max_steps=1")
    run_transfer("--ckpt_path=last")
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())
    assert saved["ckpt_path"] is None
    assert saved["trainer"]["logger"]["init_args"]["version"] is None


def test_ctrl_c_before_the_first_step_ends_with_status_130(
    run_transfer: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(StyleTransfer, "setup", lambda self, stage: signal.raise_signal(signal.SIGINT))
    assert run_transfer() == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped."
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_saves_the_run_which_can_be_resumed(run_transfer: Any) -> None:
    pause = [f"--model.optimizer={PAUSING_LBFGS}", "--model.optimizer.pause_at=5"]
    process = start_transfer("--data.plan.steps=9", "--checkpoints.every_n_steps=3", *pause)
    wait_for_pause(process)
    process.send_signal(signal.SIGINT)
    release()
    _, errors = finish_command(process, 130)
    assert "--ckpt_path last resumes it" in errors
    assert "Traceback" not in errors
    step = read_checkpoint()["global_step"]
    assert step < 9
    assert (run_folder() / "stylized.png").exists()
    assert run_transfer(f"--data.plan.steps={step + 5}", "--ckpt_path=last", *pause) == 0
    assert read_checkpoint()["global_step"] == step + 5


def test_killed_run_resumes_to_the_whole_run_bitwise(run_transfer: Any) -> None:
    args = ["--data.plan.steps=15", "--checkpoints.every_n_steps=7"]
    args += [f"--model.optimizer={PAUSING_LBFGS}", "--model.optimizer.pause_at=10"]
    process = start_transfer(*args)
    wait_for_pause(process)
    process.kill()
    process.communicate()
    assert read_checkpoint()["global_step"] == 7
    release()
    assert run_transfer(*args, "--ckpt_path=last") == 0
    assert run_transfer(*args) == 0
    assert read_checkpoint(0)["global_step"] == read_checkpoint(1)["global_step"] == 15
    assert torch.equal(read_checkpoint(0)["state_dict"]["image"], read_checkpoint(1)["state_dict"]["image"])


def test_checkpoint_of_another_run_is_rejected(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run_transfer()
    path = f"--ckpt_path={run_folder()}/checkpoints/last.ckpt"
    for args, message in (
        (["--data.plan.size=40"], "an image of 40x30 px, but its image has 32x24 px"),
        (["--data.content=style.png"], "an image of 27x32 px, but its image has 32x24 px"),
        (["--model.optimizer=Adam"], "a checkpoint of Adam, but this one was made with CompactLBFGS"),
        (["--data.plan.size=64", "--data.plan.ladder=octaves", "--data.plan.smallest=16"], "an image of 16x12 px"),
    ):
        capsys.readouterr()
        assert run_transfer(path, *args) == 1
        assert message in capsys.readouterr().err
    assert not run_folder(1).exists()
    run_transfer("--data.plan.ladder=octaves", "--data.plan.smallest=16")
    assert run_transfer(f"--ckpt_path={run_folder(1)}/checkpoints/last.ckpt") == 1
    assert "a plan with 1 stages, but this one is in stage 2" in capsys.readouterr().err
