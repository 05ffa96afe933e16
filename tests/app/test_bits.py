"""Real runs of the app end in the same bits as their commands."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nst_lightning.app import run_process
from nst_lightning.app.painting import StyleInput
from nst_lightning.app.records import read_record
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.training.steering import Steering
from tests.app.fakes import make_painting, open_queue, wait_for, wait_for_state
from tests.app.forked import start_forked
from tests.helpers import run_command


def read_pixels_of(path: Path | None) -> NDArray[np.uint8]:
    assert path is not None
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def run_printed_command(queue: RunQueue, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """Runs the command that the app prints in another folder, and returns the pixels of its result."""
    line = queue.view(run).painting.command(queue.files, queue.folder(run))
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "nst_lightning"]
    folder.mkdir()
    monkeypatch.chdir(folder)
    run_command(*words[3:])
    (result,) = folder.glob("logs/*/version_0/stylized.png")
    return read_pixels_of(result)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[RunQueue]:
    opened = open_queue(tmp_path / "runs")
    yield opened
    opened.close()


@pytest.fixture
def quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are forks of a process that has imported everything."""
    monkeypatch.setattr(run_process, "start_fit", start_forked)


def test_command_ends_in_the_bits_of_the_run(queue: RunQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = queue.files.add_mask(Image.linear_gradient("L").resize((40, 48)))
    styles = (StyleInput("sample:glass", mask=mask), StyleInput("sample:waves", weight=0.5, scale=1.5))
    painting = make_painting(seed=3, styles=styles, colors="luminance", strength=0.6)
    view = wait_for_state(queue, queue.submit(painting), "finished")
    assert view.curves["step"][-1] == 40
    pixels = run_printed_command(queue, view.id, tmp_path / "shell", monkeypatch)
    assert np.array_equal(pixels, read_pixels_of(view.result))


@pytest.mark.usefixtures("quick_starts")
def test_interrupted_steered_and_extended_run_ends_in_the_bits_of_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_queue(tmp_path / "runs")
    run = first.submit(make_painting(recipe="report"))
    wait_for(first, run, lambda view: (view.live or {}).get("step", 0) >= 5)
    first.steer(run, Steering(strength=0.7))
    wait_for(first, run, lambda view: (first.folder(run) / "steering.yaml").exists() or view.state != "painting")
    first.close()
    assert read_record(first.folder(run)).state == "painting"
    second = open_queue(tmp_path / "runs")
    try:
        wait_for_state(second, run, "finished")
        second.more_steps(run, 6)
        view = wait_for_state(second, run, "finished")
        assert view.curves["step"][-1] == 306
        pixels = run_printed_command(second, run, tmp_path / "shell", monkeypatch)
        assert np.array_equal(pixels, read_pixels_of(view.result))
    finally:
        second.close()


@pytest.mark.usefixtures("quick_starts")
def test_enlarged_and_repainted_results(queue: RunQueue) -> None:
    small = wait_for_state(queue, queue.submit(make_painting()), "finished")
    large = queue.submit(make_painting(enlarge=small.id, size=96))
    again = queue.submit(make_painting(start=small.id, seed=1))
    large_view, again_view = (wait_for_state(queue, run, "finished") for run in (large, again))
    assert max(read_pixels_of(large_view.result).shape) == 96
    assert max(read_pixels_of(again_view.result).shape) == 48
    log = (queue.folder(again) / "config.yaml").read_text()
    assert f"initialization: {queue.folder(again).resolve()}{os.sep}start.png" in log


@pytest.mark.usefixtures("quick_starts")
def test_failure_of_a_real_run_is_its_one_line(queue: RunQueue) -> None:
    region = queue.files.add_mask(Image.new("L", (10, 90), 255))
    run = queue.submit(make_painting(styles=(StyleInput("sample:glass", region=region),)))
    view = wait_for_state(queue, run, "failed")
    assert view.error is not None
    assert view.error.startswith("Expected `region`")
    assert "\n" not in view.error
    assert str(queue.runs) not in view.error


@pytest.mark.usefixtures("quick_starts")
def test_film_is_painted(queue: RunQueue) -> None:
    pytest.importorskip("av", reason='needs the extra "video"')
    frames = [Image.linear_gradient("L").resize((40, 32)).rotate(angle).convert("RGB") for angle in (0, 5)]
    path = queue.runs / "clip.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    film = queue.files.add_film(path)
    run = queue.submit(make_painting(content=film, recipe="video"))
    view = wait_for_state(queue, run, "finished")
    assert view.result == queue.folder(run) / "film.mp4"
    assert view.preview == queue.folder(run) / "preview.webp"
