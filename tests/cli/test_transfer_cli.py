"""Options and configurations of `fit`."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image, write_image
from tests.cli.transfer_run import read_events, run_folder
from tests.helpers import QUICK_VGG19, TRANSFER, smooth_image


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
        "tolerance": None,
        "tile": "auto",
        "last_steps": None,
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
    (["--config=damaged.yaml"], 2, "In damaged.yaml: "),
    (["--model.initialization=nowhere.png"], 1, "or an image file, but there is no file nowhere.png"),
    (["--data.plan.size=60000"], 1, "Expected the picture to fit into memory"),
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
    Path("damaged.yaml").write_text("data: {plan: {size: 3\nmodel: x")
    torch.save({"state_dict": {}}, "foreign.ckpt")
    write_image("thin.png", smooth_image(2, 300))
    assert run_transfer(*args) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not Path("logs").exists(), "a run that cannot begin leaves no folder"


def test_help_of_fit_shows_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--help"])
    assert caught.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "evaluations of the objective" in printed
    assert "the frozen network whose features the losses compare" in printed
    assert "--trainer.val_check_interval" not in printed
    assert printed.index("--data.content") < printed.index("--model.losses") < printed.index("--trainer.accelerator")
