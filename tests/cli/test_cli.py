import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from nst_lightning.__main__ import COMMANDS, main
from nst_lightning.images.io import read_config, read_image, write_image
from nst_lightning.training.module import StyleTransfer
from tests.helpers import smooth_image, write_pair

RECIPE_FILES = {
    path.relative_to(CONFIGS): yaml.safe_load(path.read_text()) for path in CONFIGS.glob("**/*.yaml")
}
RECIPES = [path for path, config in RECIPE_FILES.items() if "losses" in config.get("model", {})]
BACKBONES = [path for path in RECIPE_FILES if path.parent.name == "backbones"]


def test_configurations_are_all_run_by_a_test() -> None:
    # The tests of `distill` and `study` run their configurations.
    assert {*RECIPES, *BACKBONES, Path("distill.yaml"), Path("assignment.yaml")} == set(RECIPE_FILES)


@pytest.mark.parametrize("config", RECIPES, ids=str)
def test_recipe_runs(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film = config.name == "video.yaml"
    assert main(["fit", f"--config={CONFIGS / config}", *QUICK, *(QUICK_FILM if film else [])]) == 0
    (result,) = Path("logs").rglob("frames/00002.png" if film else "stylized.png")
    with Image.open(result) as picture:
        assert max(picture.size) == 32


@pytest.mark.parametrize("backbone", BACKBONES, ids=str)
def test_backbone_configuration_overrides_a_recipe(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = [f"--config={CONFIGS / name}" for name in ("transfer.yaml", backbone)]
    assert main(["fit", *configs, *QUICK, "--model.backbone.weights=random"]) == 0
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())["model"]
    assert saved["backbone"]["class_path"].endswith(RECIPE_FILES[backbone]["model"]["backbone"]["class_path"])
    assert set(saved["losses"]) == set(TRANSFER_TERMS)


def test_run_folder_contains_all_files_of_a_run(run_transfer: Any) -> None:
    assert run_transfer("--output=out/result.jpg") == 0
    files = {str(path.relative_to(run_folder())) for path in run_folder().rglob("*") if path.is_file()}
    assert {"config.yaml", "stylized.png", "checkpoints/last.ckpt"} <= files
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert not [name for name in files if "part" in name]
    result = read_image(run_folder() / "stylized.png").image
    assert result.shape == (1, 3, 24, 32)
    assert (read_image("out/result.jpg").image - result).abs().mean() < 0.05


def test_run_configuration_is_resolved_and_stored_in_pictures(run_transfer: Any) -> None:
    run_transfer("--model.losses.style.weight=5", "--output=result.jpg")
    config = (run_folder() / "config.yaml").read_text()
    resolved = yaml.safe_load(config)
    assert resolved["model"]["losses"]["style"]["init_args"]["weight"] == 5
    assert resolved["data"]["plan"]["size"] == 32
    assert read_config(run_folder() / "stylized.png") == config
    assert read_config("result.jpg") == config


def test_saved_configuration_paints_the_same_picture(run_transfer: Any) -> None:
    run_transfer()
    assert main(["fit", f"--config={run_folder() / 'config.yaml'}"]) == 0
    first, second = (read_image(run_folder(n) / "stylized.png").image for n in (0, 1))
    assert torch.equal(first, second)


def test_command_line_overrides_the_configuration(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.02", "--model.losses.style.weight=1e4"]
    with pytest.raises(SystemExit):
        run_transfer(*args, "--trainer.logger.init_args.save_dir=elsewhere", "--print_config=skip_unset")
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["optimizer"]["class_path"] == "torch.optim.Adam"
    assert printed["model"]["optimizer"]["init_args"]["lr"] == 0.02
    assert printed["model"]["losses"]["style"]["init_args"]["weight"] == 1e4
    assert printed["model"]["losses"]["content"]["init_args"]["layers"] == ["conv_3"]
    assert printed["trainer"]["logger"]["init_args"]["save_dir"] == "elsewhere"


def test_second_configuration_overrides_the_first(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("data: {plan: {steps: 7}}\nmodel: {initialization: gaussian}\n")
    with pytest.raises(SystemExit):
        run_transfer("--config=mine.yaml", "--print_config")
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["data"]["plan"] == {"size": 32, "steps": 7, "ladder": "none", "smallest": 128} | {
        "first_steps": None,
        "following_steps": None,
        "iterations_per_step": 1,
    }
    assert printed["model"]["initialization"] == "gaussian"
    assert printed["model"]["losses"]["style"]["class_path"].endswith("GramLoss")


def test_style_option_accepts_a_list(run_transfer: Any) -> None:
    style = "style.png"
    assert run_transfer(f"--data.style=[{style}, content.png]", "--data.style_weights=[3, 1]") == 0
    assert {"image/style_1", "image/style_2"} <= set(read_events().Tags()["images"])


def test_losses_option_accepts_any_terms(run_transfer: Any) -> None:
    Path("more.yaml").write_text(
        "model: {losses: {coarse: {class_path: GramLoss, init_args: {layers: [relu2_1], weight: 10}},"
        " fine: {class_path: GramLoss, init_args: {layers: [relu1_1]}},"
        " smooth: {class_path: TotalVariationLoss, init_args: {weight: 0.1}}}}\n"
    )
    assert main(["fit", f"--config={TRANSFER}", *QUICK_VGG19, "--config=more.yaml"]) == 0
    assert {"coarse", "fine", "smooth"} == set(
        yaml.safe_load((run_folder() / "config.yaml").read_text())["model"]["losses"]
    )


def test_tensorboard_contains_curves_pictures_and_configuration(run_transfer: Any) -> None:
    run_transfer("--data.plan.steps=20", "--previews.every_n_steps=8", "--model.layer_curves_every_n_steps=10")
    tags = read_events().Tags()
    assert {"loss/total", *(f"loss/{term}" for term in TRANSFER_TERMS), "layers/style/conv_2"} <= set(tags["scalars"])
    assert len(read_events().Scalars("loss/total")) == 2
    assert len(read_events().Scalars("layers/content/conv_3")) == 2
    assert {"image/content", "image/style", "image/start", "image/stylized"} == set(tags["images"])
    assert [image.step for image in read_events().Images("image/stylized")] == [8, 16, 20]
    assert len(read_events().Images("image/content")) == 1
    assert "configuration/text_summary" in tags["tensors"]
    assert "final/total" in tags["scalars"]
    total, *terms = (read_events().Scalars(f"loss/{name}")[-1].value for name in ("total", *TRANSFER_TERMS))
    assert total == pytest.approx(sum(terms))
    assert "_hparams_/session_start_info" in read_events().summary_metadata
    hyperparameters = yaml.safe_load((run_folder() / "hparams.yaml").read_text())
    assert hyperparameters["model.losses.style.weight"] == 1e3
    assert not [name for name in hyperparameters if name.startswith("trainer")]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (47, 33)])
def test_run_paints_small_and_odd_sizes(
    height: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("odd.png", smooth_image(height, width))
    write_image("style.png", smooth_image(21, 19, seed=1))
    args = ["--data.content=odd.png", "--data.style=style.png", f"--data.plan.size={max(height, width)}"]
    assert main(["fit", f"--config={TRANSFER}", "--data.plan.steps=2", *args]) == 0
    assert read_image(run_folder() / "stylized.png").image.shape == (1, 3, height, width)


def test_run_without_a_logger_writes_only_the_output(run_transfer: Any) -> None:
    assert run_transfer("--trainer.logger=false", "--output=result.png") == 0
    assert {path.name for path in Path().iterdir()} == {"content.png", "style.png", "result.png"}


def test_run_restores_alpha(run_transfer: Any) -> None:
    alpha = torch.ones(1, 1, 32, 32)
    alpha[..., :16] = 0
    write_image("half.png", smooth_image(32, 32), alpha)
    run_transfer("--data.content=half.png")
    found = read_image(run_folder() / "stylized.png").alpha
    assert found is not None
    assert torch.equal(found, alpha)


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
    assert (run_folder(0) / "stylized.png").read_bytes()[-2000:] == (run_folder(1) / "stylized.png").read_bytes()[-2000:]


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


def test_iterations_per_step_reject_snapshots_between_steps(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_saved_configuration_of_a_resumed_run_starts_from_the_beginning(run_transfer: Any) -> None:
    run_transfer("--trainer.max_steps=1")
    run_transfer("--ckpt_path=last")
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())
    assert saved["ckpt_path"] is None
    assert saved["trainer"]["logger"]["init_args"]["version"] is None


def test_checkpoint_contains_only_the_image_and_the_optimizer(run_transfer: Any) -> None:
    run_transfer()
    kept = read_checkpoint()
    assert list(kept["state_dict"]) == ["image"]
    assert "hyper_parameters" not in kept


@pytest.mark.parametrize(("optimizer", "limit"), [("CompactLBFGS", 80e6), ("LBFGS", 80e6), ("Adam", 12e6)])
def test_checkpoint_at_512_px_is_small(run_transfer: Any, optimizer: str, limit: float) -> None:
    write_image("square.png", smooth_image(512, 512))
    args = ["--data.content=square.png", "--data.plan.size=512", "--data.plan.steps=12"]
    args += ["--model.losses.style.layers=[image]", "--model.losses.content.layers=[image]"]
    assert run_transfer(*args, f"--model.optimizer={optimizer}") == 0
    assert (run_folder() / "checkpoints" / "last.ckpt").stat().st_size < limit


def test_precision_of_targets_equals_that_of_steps(run_transfer: Any) -> None:
    run_transfer("--trainer.precision=bf16-mixed", "--data.plan.steps=10", "--model.layer_curves_every_n_steps=10")
    assert read_events().Scalars("layers/content/conv_3")[0].value == 0


def test_native_precision_is_announced_and_saved(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst_lightning.cli.transfer_cli.native_precision", lambda accelerator: "bf16-mixed")
    run_transfer()
    assert "--trainer.precision 32-true forbids it" in capsys.readouterr().out
    assert yaml.safe_load((run_folder() / "config.yaml").read_text())["trainer"]["precision"] == "bf16-mixed"
    run_transfer("--trainer.precision=32-true")
    assert "bfloat16" not in capsys.readouterr().out
    assert yaml.safe_load((run_folder(1) / "config.yaml").read_text())["trainer"]["precision"] == "32-true"


@pytest.mark.parametrize("native", ["32-true", "bf16-mixed"])
def test_precision_without_hardware_support_gives_a_notice(
    run_transfer: Any, native: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst_lightning.system.precision.native_precision", lambda accelerator: native)
    run_transfer("--trainer.precision=bf16-mixed")
    assert ("--trainer.precision 32-true is faster then" in capsys.readouterr().out) is (native == "32-true")


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


MISTAKES = [
    (["--data.content=nowhere.jpg"], 1, "Expected an image file, but there is none at nowhere.jpg"),
    (["--data.content=."], 1, "Expected a folder of numbered frames, but . has no pictures with numbers"),
    (["--data.content=text.jpg"], 1, "text.jpg is not an image that can be read"),
    (["--data.content=null"], 1, "add --data.content FILE"),
    (["--model.losses.content.layers=[conv_99]"], 1, "among conv_1 to conv_16"),
    (["--model.losses.content.layers=[]"], 1, "at least one layer"),
    (["--model.losses={}"], 1, "at least one term"),
    (["--model.backbone.weights=nowhere.pth"], 1, "there is no file nowhere.pth"),
    (["--data.plan.size=0"], 1, "`plan.size` to be positive, but got 0"),
    (["--data.plan.steps=-3"], 1, "`plan.steps` to be positive, but got -3"),
    (["--data.plan.iterations_per_step=0"], 1, "`plan.iterations_per_step` to be positive, but got 0"),
    (["--model.cuda_graphs=true", "--trainer.accelerator=cpu"], 1, "a CUDA device to record evaluations on"),
    (["--data.plan.size=big"], 2, "data.plan.size"),
    (["--data.content=thin.png"], 1, "at least 2 px each way"),
    (["--data.sise=3"], 2, "sise"),
    (["--model.losses.style.wait=3"], 2, "'wait' is not accepted"),
    (["--config=nowhere.yaml"], 2, "nowhere.yaml"),
    (["--ckpt_path=last"], 1, "there is none at logs/transfer/version_*/checkpoints/last.ckpt"),
    (["--ckpt_path=nowhere.ckpt"], 1, "Expected a checkpoint file, but there is none at nowhere.ckpt"),
    (["--ckpt_path=text.jpg"], 1, "Expected a checkpoint, but text.jpg cannot be read as one"),
    (["--ckpt_path=foreign.ckpt"], 1, "another program wrote this one"),
    (["--output=result.gif"], 1, "Expected a file that ends in .png"),
    (["--trainer.precision=16-mixed"], 1, "32-true or bf16-mixed, but got 16-mixed"),
    (["--previews.every_n_steps=0"], 1, "`previews.every_n_steps` to be positive"),
    (["--checkpoints.every_n_steps=0"], 1, "`checkpoints.every_n_steps` to be positive"),
]


@pytest.mark.parametrize(("args", "status", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_invalid_option_is_an_error_of_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], args: list[str], status: int, message: str
) -> None:
    Path("text.jpg").write_text("hello")
    torch.save({"state_dict": {}}, "foreign.ckpt")
    write_image("thin.png", smooth_image(2, 300))
    assert run_transfer(*args) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not Path("logs").exists(), "a run that cannot begin leaves no folder"


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


def test_nan_loss_keeps_the_last_finite_image(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        f"--model.optimizer={__name__}.DivergingOptimizer",
        "--data.plan.steps=9",
        "--checkpoints.every_n_steps=2",
    ]
    assert run_transfer(*args) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error"))
    assert re.search(r"Expected a finite loss, but .* at step 5", line)
    assert read_checkpoint()["global_step"] == 4
    image = read_checkpoint()["state_dict"]["image"]
    assert (read_image(run_folder() / "stylized.png").image - image.clamp(0, 1)).abs().max() < 0.01


class DivergingOptimizer(torch.optim.Optimizer):
    """Adds 0.01 four times, then NaN."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})
        self.calls = 0

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        self.calls += 1
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(0.01 if self.calls < 5 else float("nan"))
        return loss


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in ("fit", "distill", "flicker", "samples"):
        assert re.search(rf"^  {command} +\w", printed, re.MULTILINE)
    assert main([]) == 2
    assert main(["paint"]) == 2
    assert f"Expected a command among {', '.join(COMMANDS)}, but got 'paint'" in capsys.readouterr().err


def test_help_of_fit_shows_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--help"])
    assert caught.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "evaluations of the objective" in printed
    assert "the frozen network whose features the losses compare" in printed
    assert "--trainer.val_check_interval" not in printed
    assert printed.index("--data.content") < printed.index("--model.losses") < printed.index("--trainer.accelerator")


# argparse, which prints the help of `fit`, ignores a closed pipe.
@pytest.mark.parametrize(("command", "status"), [([], 141), (["fit"], 0)])
def test_help_handles_a_closed_pipe(command: list[str], status: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [sys.executable, "-m", "nst_lightning", *command, "--help"]
    ended = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (status, "")


def test_help_does_not_import_torch() -> None:
    code = "import sys; from nst_lightning.__main__ import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0
