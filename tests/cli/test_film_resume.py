"""Runs of `fit` that paint films and end early."""

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import Tensor

from nst_lightning.video.film import Film
from nst_lightning.video.frames import PaintedFrames
from tests.callbacks.control_writer import steer_option
from tests.cli.film_run import assert_same_films, read_film_summary, read_frames, run_folder, start_film
from tests.helpers import PAUSING_LBFGS, finish_command, release, wait_for_pause


@pytest.mark.parametrize("optimizer", ["LBFGS", "Adam"])
@pytest.mark.parametrize("cut", [2, 4, 6, 7, 15])
def test_resumed_film_equals_the_whole_film_bitwise(run_film: Any, optimizer: str, cut: int) -> None:
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05"] if optimizer == "Adam" else []
    assert run_film(*args) == 0
    assert run_film(*args, f"--trainer.max_steps={cut}") == 0
    frames = len(read_frames(1))
    assert frames == (0 if cut < 4 else 1 + (cut - 4) // 3)
    before = [path.stat().st_mtime_ns for path in sorted((run_folder(1) / "frames").glob("*.png"))]
    assert run_film(*args, "--ckpt_path=last") == 0
    assert not run_folder(2).exists()
    assert [path.stat().st_mtime_ns for path in sorted((run_folder(1) / "frames").glob("*.png"))][:frames] == before
    assert_same_films()


@pytest.mark.parametrize("cut", [21, 23, 32, 35])
def test_film_whose_frames_end_early_resumes_bitwise(run_film: Any, cut: int) -> None:
    args = ["--data.plan.steps=30", "--data.plan.following_steps=15", "--data.plan.tolerance=0.9"]
    assert run_film(*args) == 0
    assert [record["steps"] for record in read_film_summary()["per_frame"]] == [21, 11, 11, 11, 11]
    assert run_film(*args, f"--trainer.max_steps={cut}") == 0
    assert len(read_frames(1)) == (cut - 10) // 11
    assert run_film(*args, "--ckpt_path=last") == 0
    assert_same_films()


@pytest.mark.parametrize("cut", [3, 7, 8])
def test_steered_film_replays_and_resumes_bitwise(run_film: Any, cut: int) -> None:
    changes: list[dict[str, Any]] = [
        {"step": 2, "weights": {"style": 5000.0, "temporal": 3.0}},
        {"step": 7, "strength": 0.6},
    ]
    assert run_film(steer_option([*changes, {"step": 12, "stop": True}])) == 0
    live = json.loads((run_folder(0) / "live.json").read_text())
    assert (live["state"], live["step"], live["frame"], live["frames"]) == ("stopped", 12, 3, 5)
    assert run_film("--ckpt_path=last", steer_option([])) == 0
    Path("changes.yaml").write_text(yaml.safe_dump(changes))
    assert run_film("--replay=changes.yaml", f"--trainer.max_steps={cut}") == 0
    assert run_film("--ckpt_path=last") == 0
    assert_same_films()


def test_iterations_per_step_keep_the_film_bitwise(run_film: Any) -> None:
    assert run_film() == 0
    assert run_film("--data.plan.iterations_per_step=2") == 0
    assert_same_films()


def test_checkpoint_by_path_resumes_in_a_new_folder(run_film: Any) -> None:
    run_film("--trainer.max_steps=7")
    assert run_film(f"--ckpt_path={run_folder()}/checkpoints/last.ckpt") == 0
    assert len(read_frames(1)) == 5
    assert len(read_frames(0)) == 2


def test_resumed_film_rejects_missing_frames(run_film: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run_film("--trainer.max_steps=11")
    (run_folder() / "frames" / "00001.png").unlink()
    assert run_film("--ckpt_path=last") == 1
    assert "number 1 is missing: start the film again" in capsys.readouterr().err


def test_film_killed_during_a_frame_resumes_bitwise(run_film: Any) -> None:
    # Frames of 4, 6, 6, 6 and 6 steps: the pause is in the fourth step of the fourth frame.
    args = ["--data.plan.following_steps=6", "--checkpoints.every_n_steps=3"]
    args += [f"--model.optimizer={PAUSING_LBFGS}", "--model.optimizer.pause_at=20"]
    process = start_film(*args)
    wait_for_pause(process)
    process.kill()
    process.communicate()
    frames = [run_folder() / "frames" / f"0000{number}.png" for number in range(3)]
    assert len(read_frames()) == 3
    before = [frame.stat().st_mtime_ns for frame in frames]
    release()
    assert run_film(*args, "--ckpt_path=last") == 0
    assert [frame.stat().st_mtime_ns for frame in frames] == before
    assert run_film(*args) == 0
    assert_same_films()


@pytest.mark.usefixtures("run_film")
def test_ctrl_c_keeps_the_finished_frames() -> None:
    # The pause is in the second step of the second frame.
    process = start_film(f"--model.optimizer={PAUSING_LBFGS}", "--model.optimizer.pause_at=6")
    wait_for_pause(process)
    process.send_signal(signal.SIGINT)
    release()
    finish_command(process, 130)
    assert len(read_frames()) == len(Film(run_folder() / "film.mp4")) == 1


def test_full_disk_keeps_the_frames_and_the_film_can_be_resumed(
    run_film: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_film()
    original = PaintedFrames.write

    def full(self: PaintedFrames, number: int, image: Tensor) -> None:
        if number == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, number, image)

    with monkeypatch.context() as patch:
        patch.setattr(PaintedFrames, "write", full)
        assert run_film() == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error"))
    assert "No space left on device. The 2 frames before it are kept: free some disk space" in line
    assert len(read_frames(1)) == 2
    assert run_film("--ckpt_path=last") == 0
    for name in (*(f"frames/{number:05d}.png" for number in range(5)), "film.mp4"):
        assert (run_folder(0) / name).read_bytes() == (run_folder(1) / name).read_bytes(), name


def test_film_is_written_on_resuming_after_a_full_disk(
    run_film: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*unused: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("nst_lightning.callbacks.films.write_film", full)
        assert run_film() == 1
    assert "The 5 frames are kept in" in capsys.readouterr().err
    assert not (run_folder() / "film.mp4").exists()
    assert run_film("--ckpt_path=last", "--output=film.gif") == 0
    assert len(Film(run_folder() / "film.mp4")) == len(Film(Path("film.gif"))) == 5
