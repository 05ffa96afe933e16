"""SIGTERM, which schedulers send: it acts like Ctrl-C, with exit status 143."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import pytest
import torch

from nst_lightning.__main__ import main
from nst_lightning.cli.device_processes import _wait
from nst_lightning.images.io import read_image, write_image
from nst_lightning.optim import CompactLBFGS
from nst_lightning.samples.drawing.clip_file import write_clip
from nst_lightning.system.interrupts import INTERRUPTED_STATUS, TERMINATED_STATUS
from nst_lightning.training.module import StyleTransfer
from tests.cli import film_run, transfer_run
from tests.cli.film_run import assert_same_films
from tests.cli.test_device_processes import EXACT, LONG, TWO, find_workers, start_script, wait_for_checkpoint
from tests.helpers import ENVIRONMENT, finish_command, smooth_image, write_pair
from tests.study.studies import create_section, read_pictures, read_results, run_study, write_study

pytestmark = pytest.mark.usefixtures("empty_folder")


class Terminate(pl.Callback):
    """Sends signals to this process at the start of a step.

    Args:
        at: number of the step, from 0, in the whole run.
        times: number of signals.
    """

    def __init__(self, at: int, times: int = 1) -> None:
        self.at, self.times = at, times

    def on_train_batch_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        if trainer.global_step == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGTERM)


def terminate(at: int, times: int = 1) -> list[str]:
    name = f"{__name__}.{Terminate.__name__}"
    return [
        f"--trainer.callbacks+={name}",
        f"--trainer.callbacks.at={at}",
        f"--trainer.callbacks.times={times}",
        "--trainer.enable_progress_bar=false",
    ]


# `timeout` sends SIGTERM to the command and to its process group.
@pytest.mark.parametrize("times", [1, 2])
def test_sigterm_ends_fit_after_the_step_and_the_run_resumes_bitwise(
    times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(Path())
    options = [*transfer_run.OPTIONS, "--data.plan.steps=6"]
    before = signal.getsignal(signal.SIGTERM)
    assert main([*options, *terminate(3, times)]) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    errors = capsys.readouterr().err
    assert errors == "Stopped before the end: the same command with --ckpt_path last resumes it.\n"
    folder = transfer_run.run_folder()
    assert transfer_run.read_checkpoint()["global_step"] == 4
    assert read_image(folder / "stylized.png").image.shape == (1, 3, 24, 32)
    assert json.loads((folder / "live.json").read_text())["state"] == "stopped"
    assert main([*options, "--ckpt_path=last"]) == 0
    assert main(options) == 0
    assert torch.equal(*(transfer_run.read_checkpoint(number)["state_dict"]["image"] for number in (0, 1)))


def test_sigterm_before_the_first_step_ends_with_status_143(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(Path())
    monkeypatch.setattr(StyleTransfer, "setup", lambda self, stage: signal.raise_signal(signal.SIGTERM))
    assert main(transfer_run.OPTIONS) == 143
    assert capsys.readouterr().err == "Stopped.\n"


def test_sigterm_keeps_the_finished_frames_of_a_film() -> None:
    write_clip(Path(film_run.CLIP_FILE), film_run.CLIP)
    write_image("style.png", smooth_image(30, 36, seed=2))
    # Frames of 4, 3, 3, 3 and 3 steps.
    assert main([*film_run.OPTIONS, *terminate(8)]) == 143
    assert len(film_run.read_frames()) == 2
    assert (film_run.run_folder() / "film.mp4").exists()
    assert main([*film_run.OPTIONS, "--ckpt_path=last"]) == 0
    assert main(film_run.OPTIONS) == 0
    assert_same_films()


class TerminatedLBFGS(CompactLBFGS):
    """L-BFGS that sends SIGTERM to this process after a number of steps of all runs, if that is not None."""

    countdown: ClassVar[int | None] = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if TerminatedLBFGS.countdown is not None:
            TerminatedLBFGS.countdown -= 1
            if TerminatedLBFGS.countdown == 0:
                TerminatedLBFGS.countdown = None
                signal.raise_signal(signal.SIGTERM)
        return super().step(closure)


def test_sigterm_ends_a_study_after_the_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = {"model.losses.style.weight": [1, 10, 100]}
    model = {"optimizer": {"class_path": f"{__name__}.{TerminatedLBFGS.__name__}"}}
    write_study(Path(), create_section(axes=axes, model=model))
    # The second step of the second run.
    monkeypatch.setattr(TerminatedLBFGS, "countdown", 6)
    assert run_study() == 143
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1] == "Stopped before the end: run the same command to resume."
    assert "Ctrl-C" not in errors
    assert sorted(line["state"] for line in read_results()) == ["begun", "done", "new"]
    assert run_study() == 0
    assert run_study(output="whole") == 0
    stopped, whole = read_pictures("out"), read_pictures("whole")
    assert list(stopped) == list(whole)
    assert all(torch.equal(stopped[name], whole[name]) for name in whole)


@pytest.mark.parametrize("status", [INTERRUPTED_STATUS, TERMINATED_STATUS])
def test_first_device_may_finish_its_files_after_another_was_stopped(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst_lightning.cli.device_processes.SECONDS_TO_END", 0.0)
    slow = start_script(f"import sys, time; time.sleep(1); sys.exit({status})", errors=False)
    quick = start_script(f"import sys; sys.exit({status})", errors=True)
    try:
        assert _wait([slow, quick]) == status
    finally:
        slow.end()
        quick.end()


def test_sigterm_ends_all_devices() -> None:
    write_pair(Path())
    process = transfer_run.start_transfer(*LONG, TWO)
    wait_for_checkpoint(process)
    workers = find_workers(process)
    # A scheduler may send it to all processes.
    for pid in (process.pid, *(worker.pid for worker in workers)):
        os.kill(pid, signal.SIGTERM)
    _, errors = finish_command(process, 143)
    assert errors.splitlines()[-1] == "Stopped before the end: the same command with --ckpt_path last resumes it."
    assert "Traceback" not in errors
    assert (transfer_run.run_folder() / "stylized.png").exists()
    assert not any(worker.is_running() for worker in workers)
    steps = transfer_run.read_checkpoint()["global_step"]
    assert main([*transfer_run.OPTIONS, *EXACT, f"--data.plan.steps={steps + 1}", "--ckpt_path=last"]) == 0


# Dataclasses are defined by `exec`, after which the interpreter would end itself by SIGINT. Some libraries drop
# KeyboardInterrupt while they are imported, and miss what was not imported later.
@pytest.mark.parametrize(
    "body",
    [
        "exec('os.kill(os.getpid(), signal.SIGTERM)')",
        "try: os.kill(os.getpid(), signal.SIGTERM)\n    except BaseException: os.nothing",
    ],
)
def test_sigterm_while_modules_are_imported_ends_in_one_line(body: str) -> None:
    Path("program.py").write_text(
        "import os, signal, sys\n"
        "from nst_lightning import __main__ as program\n"
        "def run(args):\n"
        f"    {body}\n"
        "program.load_command = lambda name: run\n"
        "sys.exit(program.main(['schema']))\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "program"], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (process.returncode, process.stderr) == (TERMINATED_STATUS, "Stopped.\n")
