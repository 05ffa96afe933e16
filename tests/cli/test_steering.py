"""Runs that are changed while they paint."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.images.io import write_image
from tests.callbacks.control_writer import read_recorded, steer_option
from tests.cli.transfer_run import OPTIONS, read_checkpoint, read_events, run_folder
from tests.helpers import smooth_image

LADDER = ["--data.plan.steps=4", "--data.plan.ladder=octaves", "--data.plan.smallest=16"]
ADAM = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05"]
TWO_STYLES = ["--data.style=[style.png,second.png]"]
MASKS = ["--data.style=[{file: style.png, mask: mask.png},{file: second.png}]", "--data.hold=mask.png"]
NEIGHBOR = ["--model.losses.lines=NeighborLoss", "--model.losses.lines.layers=[conv_1,relu_3]"]
NEIGHBOR += ["--model.losses.lines.every=3", "--model.losses.lines.weight=5", *MASKS]

WEIGHT: dict[str, Any] = {"step": 2, "weights": {"style": 5000.0, "content": 2.0}}
STRENGTH: dict[str, Any] = {"step": 5, "strength": 0.7}
STEPS: dict[str, Any] = {"step": 6, "more_steps": 3}
BLEND: dict[str, Any] = {"step": 7, "style_weights": [1.0, 3.0]}
CHANGES = [WEIGHT, STRENGTH, STEPS]


@pytest.fixture
def run_steered(run_transfer: Any) -> Any:
    """Runs the transfer recipe with two styles and a mask in the folder."""
    write_image("second.png", smooth_image(30, 36, seed=5))
    Image.linear_gradient("L").resize((40, 30)).save("mask.png")
    return run_transfer


def image(number: int) -> torch.Tensor:
    found: torch.Tensor = read_checkpoint(number)["state_dict"]["image"]
    return found


def live(number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_folder(number) / "live.json").read_text())
    return found


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], CHANGES),
        (ADAM, CHANGES),
        (TWO_STYLES, [*CHANGES, BLEND]),
        ([*MASKS, *ADAM], [*CHANGES, BLEND]),
        (NEIGHBOR, [*CHANGES, BLEND]),
        (["--data.plan.iterations_per_step=2"], [WEIGHT, STEPS]),
    ],
    ids=["lbfgs", "adam", "two styles", "masks", "neighbors", "iterations"],
)
def test_replay_ends_in_the_same_bits(run_steered: Any, options: list[str], changes: list[dict[str, Any]]) -> None:
    args = [*LADDER, *options]
    assert run_steered(*args, steer_option(changes)) == 0
    assert read_recorded(run_folder(0)) == changes
    assert run_steered(*args, f"--replay={run_folder(0) / 'steering.yaml'}") == 0
    assert read_recorded(run_folder(1)) == changes
    assert read_checkpoint(0)["global_step"] == read_checkpoint(1)["global_step"] == 11
    assert torch.equal(image(0), image(1))
    assert run_steered(*args, "--data.plan.last_steps=7") == 0
    assert not torch.equal(image(0), image(2))
    assert live(0)["weights"]["style"] == live(1)["weights"]["style"] == 5000.0
    assert live(1)["state"] == "finished"
    # The run replays by its checkpoint, not by its configuration.
    assert yaml.safe_load((run_folder(1) / "config.yaml").read_text())["replay"] is None


@pytest.mark.parametrize("options", [[], ADAM, NEIGHBOR], ids=["lbfgs", "adam", "neighbors"])
@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6, 8, 9])
def test_resumed_steered_run_equals_the_whole_run_bitwise(run_steered: Any, options: list[str], cut: int) -> None:
    changes = [*CHANGES, BLEND] if options == NEIGHBOR else CHANGES
    args = [*LADDER, *options]
    assert run_steered(*args, steer_option(changes)) == 0
    steered, later = steer_option(changes), steer_option([entry for entry in changes if entry["step"] > cut])
    assert run_steered(*args, steered, f"--trainer.max_steps={cut}") == 0
    assert run_steered(*args, later, "--ckpt_path=last") == 0
    assert not run_folder(2).exists()
    assert read_checkpoint(1)["global_step"] == 11
    assert torch.equal(image(0), image(1))
    assert read_recorded(run_folder(1)) == changes


def test_resumed_replay_continues_the_replay(run_steered: Any) -> None:
    Path("changes.yaml").write_text(yaml.safe_dump(CHANGES))
    assert run_steered(*LADDER, "--replay=changes.yaml") == 0
    assert run_steered(*LADDER, "--replay=changes.yaml", "--trainer.max_steps=3") == 0
    Path("changes.yaml").unlink()
    assert run_steered(*LADDER, "--ckpt_path=last") == 0
    assert torch.equal(image(0), image(1))


def test_resumed_run_repeats_the_changes_that_a_killed_process_made(run_steered: Any) -> None:
    assert run_steered(*LADDER, steer_option(CHANGES)) == 0
    assert run_steered(*LADDER, steer_option(CHANGES), "--trainer.max_steps=3") == 0
    # As if the process had been killed after the last change and before a checkpoint; its stop was obeyed.
    recorded = [*CHANGES, {"step": 8, "stop": True}]
    (run_folder(1) / "steering.yaml").write_text(yaml.safe_dump(recorded))
    # The second process ends early too.
    assert run_steered(*LADDER, "--ckpt_path=last", "--trainer.max_steps=4") == 0
    assert read_recorded(run_folder(1)) == CHANGES
    assert run_steered(*LADDER, "--ckpt_path=last") == 0
    assert torch.equal(image(0), image(1))


def test_change_before_the_first_step_equals_the_configuration(run_steered: Any) -> None:
    Path("changes.yaml").write_text("[{step: 0, weights: {style: 5000.0}, strength: 0.3, more_steps: 2}]")
    assert run_steered(*LADDER, "--replay=changes.yaml") == 0
    options = ["--model.losses.style.weight=5000", "--model.strength=0.3", "--data.plan.last_steps=6"]
    assert run_steered(*LADDER, *options) == 0
    assert torch.equal(image(0), image(1))


def test_run_without_changes_has_the_bits_of_a_run_without_files(run_steered: Any) -> None:
    assert run_steered(*LADDER, "--output=first.png") == 0
    assert run_steered(*LADDER, "--output=second.png", "--trainer.logger=false") == 0
    with Image.open("first.png") as first, Image.open("second.png") as second:
        assert first.tobytes() == second.tobytes()
    assert not (run_folder(0) / "steering.yaml").exists()


@pytest.mark.parametrize("step", [1, 5, 8])
def test_more_steps_extend_the_last_stage(run_steered: Any, step: int) -> None:
    assert run_steered(*LADDER, steer_option([{"step": step, "more_steps": 3}])) == 0
    assert run_steered(*LADDER, "--data.plan.last_steps=7") == 0
    assert read_checkpoint(0)["global_step"] == 11
    assert torch.equal(image(0), image(1))
    summary = json.loads((run_folder(0) / "summary.json").read_text())
    assert summary["planned"] == summary["steps"] == 11
    # A larger plan continues the run, with the added steps in addition.
    assert run_steered(*LADDER, "--data.plan.last_steps=6", f"--ckpt_path={run_folder(0)}/checkpoints/last.ckpt") == 0
    assert read_checkpoint(2)["global_step"] == 13


def test_stop_keeps_the_picture_and_the_run_resumes(run_steered: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_steered(*LADDER) == 0
    assert run_steered(*LADDER, steer_option([{"step": 6, "stop": True}])) == 0
    assert "step 6 of 8" in capsys.readouterr().out
    assert (run_folder(1) / "stylized.png").exists()
    assert read_recorded(run_folder(1)) == [{"step": 6, "stop": True}]
    assert (live(1)["state"], live(1)["step"], live(1)["steps"]) == ("stopped", 6, 8)
    assert run_steered(*LADDER, f"--replay={run_folder(1) / 'steering.yaml'}") == 0
    assert torch.equal(image(1), image(2))
    shutil.rmtree(run_folder(2))
    assert run_steered(*LADDER, "--ckpt_path=last") == 0
    assert torch.equal(image(0), image(1))
    assert live(1)["state"] == "finished"


def test_objectives_before_a_change_do_not_end_a_stage(run_steered: Any) -> None:
    # The weight makes the objective at step 10 larger than at step 0. That is no sign of convergence.
    args = ["--data.plan.steps=60", "--data.plan.tolerance=0.5", "--trainer.enable_progress_bar=false"]
    args += ["--model.optimizer=Adam", "--model.optimizer.lr=0.0001"]
    change = {"step": 5, "weights": {"style": 1e6}}
    assert run_steered(*args) == 0
    assert read_checkpoint(0)["global_step"] == 11
    assert run_steered(*args, steer_option([change])) == 0
    # Objectives 10 and 20 are those of the changed objective.
    assert read_checkpoint(1)["global_step"] == 21
    assert run_steered(*args, steer_option([change]), "--trainer.max_steps=15") == 0
    assert run_steered(*args, "--ckpt_path=last") == 0
    assert torch.equal(image(1), image(2))


HOSTILE = {
    "empty": ("", "JSON"),
    "no json": ("weights: {style: 2}", "JSON"),
    "python": ("__import__('os').getcwd()", "JSON"),
    "list": ("[1]", "mapping"),
    "nested": ("[" * 30000, "JSON"),
    "large": (" " * 70000, "64 KiB"),
    "bytes": ("\xff\xfe\x00", "JSON"),
    "unknown key": ('{"lr": 1}', "lr"),
    "unknown term": ('{"weights": {"foo": 1}}', "content, style, smooth"),
    "terminal": ('{"weights": {"\\u001b[2J\\ud800": 1}}', "content, style, smooth"),
    "nan": ('{"weights": {"style": NaN}}', "finite"),
    "infinite": ('{"weights": {"style": 1e999}}', "finite"),
    "huge": ('{"weights": {"style": 1' + "0" * 400 + "}}", "finite"),
    "digits": ('{"weights": {"style": 1' + "0" * 5000 + "}}", "JSON"),
    "negative": ('{"weights": {"style": -1}}', "0 or more"),
    "text": ('{"weights": {"style": "1"}}', "number"),
    "true": ('{"weights": {"style": true}}', "number"),
    "weights list": ('{"weights": [1]}', "map terms"),
    "strength": ('{"strength": 1.5}', "0 (photograph) to 1"),
    "steps": ('{"more_steps": 1.5}', "whole number"),
    "many steps": ('{"more_steps": 1000000000000}', "whole number"),
    "stop": ('{"stop": 1}', "true or false"),
    "no weights": ('{"style_weights": []}', "list of numbers"),
    "zero weights": ('{"style_weights": [0]}', "over 0"),
    "two weights": ('{"style_weights": [1, 2]}', "each of the 1 styles"),
    "both": ('{"strength": 0.9, "weights": {"foo": 1}}', "foo"),
}


def test_hostile_changes_have_no_effect(run_steered: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = [f"--data.plan.steps={len(HOSTILE) + 1}", "--trainer.enable_progress_bar=false"]
    assert run_steered(*args) == 0
    capsys.readouterr()
    raw = {step: text for step, (text, _) in enumerate(HOSTILE.values(), 1)}
    assert run_steered(*args, steer_option([], raw)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("The run ignores a change")]
    assert len(lines) == len(HOSTILE)
    for line, (_, reason) in zip(lines, HOSTILE.values(), strict=True):
        assert reason in line
        assert line.isprintable()
    assert torch.equal(image(0), image(1))
    assert HOSTILE["both"][1] in live(1)["error"]
    assert not (run_folder(1) / "steering.yaml").exists()
    assert not (run_folder(1) / "control.json").exists()


def test_change_that_takes_the_last_style_of_a_term_is_refused(run_steered: Any) -> None:
    args = [*TWO_STYLES, "--model.losses.style.styles=[0]", "--data.plan.steps=4"]
    assert run_steered(*args) == 0
    assert run_steered(*args, steer_option([{"step": 2, "style_weights": [0.0, 1.0]}])) == 0
    assert "`styles` [0] of the term 'style'" in live(1)["error"]
    assert live(1)["style_weights"] == [0.5, 0.5]
    assert torch.equal(image(0), image(1))


def test_live_files_describe_the_run(run_steered: Any) -> None:
    assert run_steered(*LADDER, *TWO_STYLES, steer_option([BLEND])) == 0
    status = live()
    assert {name: status[name] for name in ("state", "stage", "stages", "frame", "frames", "step", "steps")} == {
        "state": "finished",
        "stage": 2,
        "stages": 2,
        "frame": 0,
        "frames": 1,
        "step": 8,
        "steps": 8,
    }
    assert (status["stage_step"], status["stage_steps"], status["width"], status["height"]) == (4, 4, 32, 24)
    assert status["style_weights"] == [0.25, 0.75]
    assert status["objective"] == pytest.approx(sum(status["terms"].values()))
    assert set(status["terms"]) == set(status["weights"]) == {"content", "style", "smooth"}
    assert status["remaining_seconds"] == 0
    with Image.open(run_folder() / "preview.webp") as preview, Image.open(run_folder() / "stylized.png") as result:
        assert preview.size == result.size
    texts = [tag for tag in read_events().Tags()["tensors"] if tag.startswith("steering")]
    assert texts == ["steering/text_summary"]
    # No partly written file is left.
    assert [path.name for path in run_folder().iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "list of changes"),
        ("- 1", "`step`"),
        ("- {step: -1, stop: true}", "`step`"),
        ("- {step: 1, weights: {foo: 2}}", "foo"),
        ("- {step: 1, style_weights: [1, 2]}", "1 styles"),
        ("- {step: 1, strength: .nan}", "finite"),
        ("- !!python/object:os.system {}", "changes of a run"),
        ("x: [", "changes of a run"),
    ],
)
def test_replay_of_another_file_is_refused_before_the_run(
    run_steered: Any, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    Path("changes.yaml").write_text(text)
    assert run_steered("--replay=changes.yaml") == 1
    assert message in capsys.readouterr().err
    assert not run_folder().exists()
    assert run_steered("--replay=missing.yaml") == 1


def test_replay_of_random_start_keeps_the_seed(run_steered: Any) -> None:
    args = ["--model.initialization=noise", "--data.plan.steps=4"]
    assert run_steered(*args, steer_option([{"step": 2, "strength": 0.2}])) == 0
    assert run_steered(*args, f"--replay={run_folder(0) / 'steering.yaml'}") == 0
    assert torch.equal(image(0), image(1))


def test_replay_belongs_to_fit_alone(run_steered: Any) -> None:
    Path("changes.yaml").write_text("[]")
    cli = TransferCLI([*OPTIONS[1:], "--replay=changes.yaml"])
    with pytest.raises(InputError, match="in the fit command only"):
        cli.build(callbacks=[])
