"""Runs on several devices: here, two processes on a CPU."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.cli import device_processes
from nst_lightning.cli.device_processes import LOST_CONNECTION, _DeviceProcess, _wait
from nst_lightning.errors import InputError
from nst_lightning.system.interrupts import INTERRUPTED_STATUS
from nst_lightning.training.steering import Steering, read_steering
from tests.cli.transfer_run import OPTIONS, read_checkpoint, run_folder, start_transfer
from tests.helpers import finish_command, run_command, start_command, write_pair

TWO = "--trainer.devices=2"
# Optimizers with a line search or a history amplify rounding errors.
EXACT = ["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=0.02", "--trainer.precision=32-true"]
EXACT += ["--trainer.enable_progress_bar=false"]
LONG = [*EXACT, "--data.plan.steps=3000", "--checkpoints.every_n_steps=2"]


@pytest.fixture(autouse=True)
def pictures(empty_folder: Path) -> None:
    """Pictures of a run in the current folder."""
    write_pair(empty_folder)


def read_pixels(number: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.asarray(Image.open(run_folder(number) / "stylized.png")).astype(np.int64)


def wait_for_checkpoint(process: "subprocess.Popen[str]") -> None:
    while not (run_folder() / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def find_workers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    workers = psutil.Process(process.pid).children()
    return sorted(workers, key=lambda worker: int(worker.environ()["LOCAL_RANK"]))


def test_two_devices_paint_the_picture_of_one_and_resume_on_one() -> None:
    plan = ["--data.plan.ladder=octaves", "--data.plan.smallest=16", "--data.plan.steps=4"]
    output, errors = run_command(*OPTIONS, *EXACT, *plan, TWO)
    assert errors == ""
    # Only the first process prints.
    (line,) = output.splitlines()
    assert line.endswith(str(run_folder() / "stylized.png"))
    names = {path.name for path in run_folder().iterdir() if not path.name.startswith("events")}
    files = {"checkpoints", "config.yaml", "hparams.yaml", "live.json", "preview.webp", "stylized.png", "summary.json"}
    assert names == files
    assert sorted(path.name for path in Path("logs").rglob("version_*")) == ["version_0"]

    assert main([*OPTIONS, *EXACT, *plan]) == 0
    # Rounding errors differ.
    assert abs(read_pixels(0) - read_pixels(1)).max() <= 1
    assert read_checkpoint(0)["global_step"] == read_checkpoint(1)["global_step"] == 8

    more = [*plan[:-1], "--data.plan.steps=6", "--data.plan.first_steps=4"]
    checkpoint = f"--ckpt_path={run_folder(0)}/checkpoints/last.ckpt"
    assert main([*OPTIONS, *EXACT, *more, checkpoint]) == 0
    run_command(*OPTIONS, *EXACT, *more, checkpoint, TWO)
    assert read_checkpoint(2)["global_step"] == read_checkpoint(3)["global_step"] == 10
    assert abs(read_pixels(2) - read_pixels(3)).max() <= 1
    assert abs(read_pixels(2) - read_pixels(0)).max() > 1


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_ends_the_run_in_one_line(victim: int) -> None:
    process = start_transfer(*LONG, TWO)
    wait_for_checkpoint(process)
    workers = find_workers(process)
    workers[victim].send_signal(signal.SIGKILL)
    _, errors = finish_command(process, 1)
    (line,) = errors.splitlines()
    assert line.startswith("error: Expected the processes of all devices to work until the end")
    assert f"process {victim + 1} of 2 ended with signal 9" in line
    assert not any(worker.is_running() for worker in workers)
    assert torch.isfinite(read_checkpoint()["state_dict"]["image"]).all()
    step = read_checkpoint()["global_step"]
    run_command(*OPTIONS, *EXACT, f"--data.plan.steps={step + 2}", "--ckpt_path=last", TWO)
    assert read_checkpoint()["global_step"] == step + 2


def test_ctrl_c_ends_all_processes_after_the_same_step() -> None:
    process = start_transfer(*LONG, TWO)
    wait_for_checkpoint(process)
    workers = find_workers(process)
    process.send_signal(signal.SIGINT)
    _, errors = finish_command(process, 130)
    lines = [line for line in errors.splitlines() if line]
    assert lines == [
        "Stopping after this step; Ctrl-C again stops at once.",
        "Stopped before the end: the same command with --ckpt_path last resumes it.",
    ]
    assert (run_folder() / "stylized.png").exists()
    assert not any(worker.is_running() for worker in workers)


def test_a_change_reaches_all_processes() -> None:
    process = start_transfer(*LONG, TWO)
    wait_for_checkpoint(process)
    folder = str(run_folder())
    run_command("steer", folder, "--model.losses.style.weight=5", "--model.strength=0.7")
    while not (run_folder() / "steering.yaml").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    run_command("steer", folder, "--stop")
    output, errors = finish_command(process)
    assert errors == ""
    assert "weight of style 5; strength 0.7" in output
    # The processes would wait for each other for ever if only one of them had stopped.
    changes = [entry.change for entry in read_steering(run_folder() / "steering.yaml")]
    assert changes == [Steering(weights={"style": 5.0}, strength=0.7), Steering(stop=True)]
    assert json.loads((run_folder() / "live.json").read_text())["state"] == "stopped"


def test_processes_end_with_the_one_that_started_them() -> None:
    process = start_transfer(*LONG, TWO)
    wait_for_checkpoint(process)
    workers = find_workers(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (["--trainer.strategy=fsdp"], 2, "Expected trainer.strategy to be auto or ddp, but got fsdp"),
        (["--trainer.strategy=DeepSpeedStrategy"], 2, "trainer.strategy"),
        (["--model.losses.emd=RelaxedEMDLoss", "--model.losses.emd.layers=[conv_2]"], 1, "the term 'emd'"),
        (["--model.tileable=true"], 1, "`tileable`"),
    ],
)
def test_what_devices_cannot_share_is_refused_in_one_line(
    options: Sequence[str], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*OPTIONS, TWO, *options]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line
    assert not Path("logs").exists()


def test_films_are_painted_on_one_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*OPTIONS, "--data.content=sample:clip", "--data.last=2", TWO]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "trainer.devices" in line


def start_script(script: str, errors: bool) -> _DeviceProcess:
    file = tempfile.TemporaryFile() if errors else None  # noqa: SIM115
    process = subprocess.Popen([sys.executable, "-c", script], stderr=file or subprocess.DEVNULL)
    return _DeviceProcess(process, file)


FAIL = "import sys; print('note\\nerror: Expected a picture.\\n', file=sys.stderr); sys.exit({})"
KILL = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("pass", "pass", 0),
        ("import sys; sys.exit(2)", f"import sys; sys.exit({LOST_CONNECTION})", 2),
        ("import sys; sys.exit(130)", "pass", 130),
        (f"import sys; sys.exit({LOST_CONNECTION})", FAIL.format(1), "Expected a picture."),
        (f"import sys; sys.exit({LOST_CONNECTION})", FAIL.format(3), "process 2 of 2 ended with status 3"),
        (KILL, f"import sys; sys.exit({LOST_CONNECTION})", "process 1 of 2 ended with signal 9"),
        ("pass", f"import sys; sys.exit({LOST_CONNECTION})", "another machine"),
    ],
)
def test_the_first_cause_decides_the_end(first: str, second: str, expected: int | str) -> None:
    devices = [start_script(first, errors=False), start_script(second, errors=True)]
    try:
        if isinstance(expected, int):
            assert _wait(devices) == expected
        else:
            with pytest.raises(InputError) as caught:
                _wait(devices)
            assert expected in str(caught.value)
    finally:
        for device in devices:
            device.end()


def test_processes_that_wait_for_the_stopped_first_one_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_processes, "SECONDS_TO_END", 0.1)
    devices = [
        start_script(f"import sys; sys.exit({INTERRUPTED_STATUS})", errors=False),
        start_script("import time; time.sleep(600)", errors=True),
    ]
    try:
        assert _wait(devices) == INTERRUPTED_STATUS
        assert devices[1].process.poll() is None
    finally:
        for device in devices:
            device.end()
    assert devices[1].process.returncode == -signal.SIGKILL


def test_callbacks_of_the_user_are_kept_once() -> None:
    more = ["--trainer.callbacks+=ImageAveraging", "--data.plan.steps=2"]
    output, _ = run_command(*OPTIONS, *EXACT[:-1], *more, TWO)
    assert output.splitlines()[-1].endswith("stylized.png")


def test_two_machines_are_two_commands() -> None:
    options = [*OPTIONS, *EXACT, "--data.plan.steps=4", "--trainer.num_nodes=2", "--trainer.devices=1"]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    second, first = [start_command(*options, environment=environment | {"NODE_RANK": rank}) for rank in "10"]
    output, errors = finish_command(first)
    assert "stylized.png" in output
    assert errors == ""
    assert finish_command(second) == ("", "")
    assert read_checkpoint()["global_step"] == 4
