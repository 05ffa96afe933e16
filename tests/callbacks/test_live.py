import json
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from PIL import Image

from nst_lightning.callbacks import LiveSteering, PicturePreview
from nst_lightning.callbacks.live import PREVIEW_NAME
from nst_lightning.callbacks.live_status import LIVE_SIZE, StageClock, Throttle
from nst_lightning.training.run_state import RunState
from nst_lightning.training.steering import CONTROL_NAME, LIVE_NAME, Steering, SteeringStep, read_live, write_control
from tests.callbacks.control_writer import ControlWriter, read_recorded
from tests.callbacks.fits import create_logger, fit_module
from tests.helpers import ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


class FakeClock:
    """Replaces the clock of the machine by one that each reading advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


def test_throttle_is_due_twice_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, throttle = FakeClock(monkeypatch), Throttle(0.01)
    assert throttle.is_due()
    with throttle.measured():
        clock.now += 0.001
    clock.now = 100.499
    assert not throttle.is_due()
    clock.now = 100.5
    assert throttle.is_due()


def test_throttle_takes_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, throttle = FakeClock(monkeypatch), Throttle(0.01)
    spent = 0.0
    for _ in range(2000):
        if throttle.is_due():
            with throttle.measured():
                clock.now += 0.03
                spent += 0.03
        clock.now += 0.02
    assert 0.009 * (clock.now - 100) < spent <= 0.01 * (clock.now - 100) + 0.03


def test_clock_estimates_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, estimates = FakeClock(monkeypatch), []

    class Watch(pl.Callback):
        def __init__(self) -> None:
            self.stages = StageClock()

        def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
            clock.now += 2
            run = RunState.of(trainer)
            run.data.stages = [run.stage, run.stage.__class__(0, 32, 5)]
            estimates.append(self.stages.remaining(run))

    assert StageClock().remaining(RunState.of(fit_module(Watch(), steps=3).trainer)) is not None
    # Two seconds for each step at 16 px, and eight for each of five steps at 32 px.
    assert estimates == [44.0, 42.0, 40.0]


def test_files_are_complete_whenever_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, seen = tmp_path / "run" / "version_0", []
    replace = os.replace

    def read_before_and_after(source: Any, target: Any) -> None:
        for _ in range(2):
            if (folder / LIVE_NAME).exists():
                seen.append(json.loads((folder / LIVE_NAME).read_text())["step"])
            if (folder / PREVIEW_NAME).exists():
                Image.open(folder / PREVIEW_NAME).load()
            replace(source, target) if Path(source).exists() else None

    monkeypatch.setattr(Throttle, "is_due", lambda self: True)
    monkeypatch.setattr("nst_lightning.images.atomic.os.replace", read_before_and_after)
    fit_module(LiveSteering(), logger=create_logger(tmp_path), steps=3)
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2, 3}
    assert {path.name for path in folder.iterdir() if not path.name.startswith("events")} == {
        LIVE_NAME,
        PREVIEW_NAME,
        "hparams.yaml",
    }


def test_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nst_lightning.callbacks.live.write_bytes", fail)
    monkeypatch.setattr("nst_lightning.training.steering.write_bytes", fail)
    replay = [SteeringStep(1, Steering(weights={"content": 2.0}))]
    assert fit_module(LiveSteering(replay), logger=create_logger(tmp_path), steps=3).trainer.global_step == 3


def test_error_is_shown_in_the_status(tmp_path: Path) -> None:
    class Fail(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
            raise ZeroDivisionError("an\nerror")

    with pytest.raises(ZeroDivisionError):
        fit_module(LiveSteering(), Fail(), logger=create_logger(tmp_path))
    live = read_live(tmp_path / "run" / "version_0")
    assert live is not None
    assert (live["state"], live["step"], live["error"]) == ("stopped", 1, "an error")


def test_change_for_an_earlier_process_has_no_effect(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "version_0"
    folder.mkdir(parents=True)
    write_control(folder, Steering(stop=True))
    (folder / "steering.yaml").write_text("[{step: 1, stop: true}]")
    assert fit_module(LiveSteering(), logger=create_logger(tmp_path), steps=3).trainer.global_step == 3
    assert not (folder / CONTROL_NAME).exists()
    assert not (folder / "steering.yaml").exists()


def test_run_without_a_folder_writes_nothing(empty_folder: Path) -> None:
    replay = [SteeringStep(2, Steering(stop=True))]
    assert fit_module(LiveSteering(replay), steps=5).trainer.global_step == 2
    assert list(empty_folder.iterdir()) == []


def test_change_forgets_the_curvature_and_keeps_the_bounds(tmp_path: Path) -> None:
    states = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
            states.append(len(trainer.optimizers[0].state))

    steering, writer = LiveSteering(), ControlWriter([{"step": 2, "weights": {"content": 5.0}}])
    module = fit_module(
        writer,
        steering,
        Watch(),
        logger=create_logger(tmp_path),
        steps=4,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.5),
    )
    assert states == [1, 0, 1, 1]
    assert module.trainer.optimizers[0].state[module.image]["step"] == 2
    image = module.image.detach()
    assert 0 <= float(image.min()) <= float(image.max()) <= 1
    assert read_recorded(tmp_path / "run" / "version_0") == writer.changes


def test_picture_preview_has_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures: list[Image.Image] = []
    monkeypatch.setattr(Throttle, "is_due", lambda self: True)
    monkeypatch.setattr("nst_lightning.callbacks.live_status.LIVE_SIZE", 8)
    fit_module(PicturePreview(pictures.append), steps=3)
    assert [picture.size for picture in pictures] == [(8, 6)] * 3
    assert pictures[0].tobytes() != pictures[2].tobytes()
    assert LIVE_SIZE == 768
