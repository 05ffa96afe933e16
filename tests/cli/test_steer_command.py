"""The command `steer`."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nst_lightning.__main__ import main
from nst_lightning.training.steering import Steering, take_control
from tests.callbacks.control_writer import read_recorded
from tests.cli.transfer_run import run_folder, start_transfer
from tests.helpers import ENVIRONMENT, PAUSING_LBFGS, finish_command, release, wait_for_pause

RUN = Path("run")


def write_live(**changed: Any) -> None:
    RUN.mkdir(exist_ok=True)
    status = {
        "state": "painting",
        "pid": os.getpid(),
        "weights": {"content": 1.0, "style": 2.0},
        "style_weights": [1.0],
    }
    (RUN / "live.json").write_text(json.dumps(status | changed))


@pytest.fixture
def ended_process() -> int:
    """Returns the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("args", "change"),
    [
        (["run", "--stop"], Steering(stop=True)),
        (["run", "--more_steps", "50"], Steering(more_steps=50)),
        (["--model.losses.style.weight", "2e3", "run"], Steering(weights={"style": 2000.0})),
        (["run", "--model.losses.style.init_args.weight=5"], Steering(weights={"style": 5.0})),
        (["run", "--model.strength=0.7", "--stop"], Steering(stop=True, strength=0.7)),
        (["run", "--data.style_weights", "[2]"], Steering(style_weights=(2.0,))),
    ],
)
def test_steer_hands_a_change_to_the_run(
    empty_folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], change: Steering
) -> None:
    write_live()
    assert main(["steer", *args]) == 0
    assert take_control(RUN) == change
    assert capsys.readouterr().out == f"run: {change.describe()}\n"


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["other", "--stop"], 1, "other has no live.json"),
        (["run"], 2, "Expected a change"),
        (["--stop"], 2, "required: run"),
        (["run", "--more_steps", "x"], 2, "for --more_steps"),
        (["run", "--more_steps", "-5"], 1, "whole number"),
        (["run", "--model.losses.style.weight"], 2, "for --model.losses.style.weight"),
        (["run", "--model.losses.foo.weight", "1"], 1, "terms content, style, but got foo"),
        (["run", "--model.losses.style.weight=NaN"], 1, "finite"),
        (["run", "--model.strength", "2"], 1, "0 (photograph) to 1"),
        (["run", "--data.style_weights", "[1,2]"], 1, "each of the 1 styles"),
        (["run", "--model.losses.style.layers=[conv_1]"], 2, "--model.losses.style.layers"),
    ],
)
def test_steer_refuses_in_one_line(
    empty_folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], status: int, message: str
) -> None:
    write_live()
    assert main(["steer", *args]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Expected")
    assert message in line
    assert [file.name for file in RUN.iterdir()] == ["live.json"]


def test_steer_refuses_a_run_that_has_ended(
    empty_folder: Path, capsys: pytest.CaptureFixture[str], ended_process: int
) -> None:
    for changed in ({"state": "finished"}, {"state": "stopped"}, {"pid": ended_process}, {"pid": None}, {"pid": 2**70}):
        write_live(**changed)
        assert main(["steer", "run", "--stop"]) == 1
        assert "--ckpt_path last resumes it" in capsys.readouterr().err
    assert [file.name for file in RUN.iterdir()] == ["live.json"]


def test_steer_on_a_full_disk_is_one_line(
    empty_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_live()
    monkeypatch.setattr(os, "replace", fail)
    assert main(["steer", "run", "--stop"]) == 1
    assert capsys.readouterr().err == (
        "error: Expected to write a file into run, but No space left on device: free some disk space.\n"
    )
    assert [file.name for file in RUN.iterdir()] == ["live.json"]


def test_steer_imports_neither_torch_nor_lightning(empty_folder: Path) -> None:
    write_live()
    code = "import sys; from nst_lightning.__main__ import main; status = main(['steer', 'run', '--stop']); "
    code += "sys.exit(status or ('torch' in sys.modules) or ('lightning' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 0


def test_steer_stops_a_run_in_another_process(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = [f"--model.optimizer={PAUSING_LBFGS}", "--model.optimizer.pause_at=3"]
    process = start_transfer(*optimizer, "--data.plan.steps=50")
    wait_for_pause(process)
    folder = str(run_folder())
    assert main(["steer", folder, "--model.losses.style.weight", "5000"]) == 0
    assert main(["steer", folder, "--stop"]) == 0
    release()
    output, _ = finish_command(process)
    assert "step 3 of 50" in output
    assert read_recorded(run_folder()) == [{"step": 3, "stop": True, "weights": {"style": 5000.0}}]
    assert main(["steer", folder, "--stop"]) == 1
    assert "is stopped" in capsys.readouterr().err
