from pathlib import Path

import pytest
import torch
from torch import Tensor

from nst_lightning.data.palette import Palette
from nst_lightning.data.plan import Plan, Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.images.io import write_image
from tests.helpers import random_image, smooth_image


@pytest.fixture
def two_shots(tmp_path: Path) -> Path:
    """A folder of two shots with three frames each, which get darker, and a style next to it."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        dark = 0.2 * smooth_image(24, 32, seed=1)
        write_image(folder / f"{number:03d}.png", (dark if number < 3 else 1 - dark) * (1 - 0.05 * number))
    write_image(tmp_path / "style.png", random_image(32, 24, seed=2))
    return folder


def open_film(folder: Path, **palette: float) -> TransferData:
    style, plan = str(folder.parent / "style.png"), Plan(size=32, steps=1)
    data = TransferData(str(folder), style, plan=plan, flow="none", blend=0.5, palette=Palette(space="rgb", **palette))
    data.setup("fit")
    assert data.film is not None
    assert data.film.film.info.cuts == [0, 3]
    data.film.keep_frames(folder.parent / "painted")
    for number in range(6):
        data.film.frames.write(number, 0.3 * random_image(24, 32, number) + 0.1 * number)
    return data


def read_content(data: TransferData, frame: int) -> Tensor:
    content = data.pictures(Stage(frame, 32, 1)).content
    assert content is not None
    return content


@pytest.mark.parametrize("frame", range(6))
def test_start_has_the_map_of_its_shot(two_shots: Path, frame: int) -> None:
    # A new film for each frame, as in a run that resumes there.
    data, palette = open_film(two_shots, start=0.8), Palette(start=0.8, space="rgb")
    pictures = data.pictures(Stage(frame, 32, 1))
    source = palette.measure(read_content(data, 3 if frame >= 3 else 0))
    content = read_content(data, frame)
    colors = data.styles.measure_colors((24, 32), palette)
    expected = palette.match(content, source, colors, 0.8)
    assert pictures.recolored is not None
    assert torch.equal(pictures.recolored, expected)
    assert pictures.content is not None
    assert torch.equal(pictures.content, content)
    if frame in (0, 3):
        assert pictures.start is None
    else:
        assert data.film is not None
        assert pictures.start is not None
        painted = data.film.frames.read(frame - 1)
        torch.testing.assert_close(pictures.start, (expected + painted) / 2)
    data.teardown("fit")


def test_results_have_the_map_of_their_shot(two_shots: Path) -> None:
    data, palette = open_film(two_shots, result=1.0), Palette(result=1.0, space="rgb")
    assert data.film is not None
    colors = data.styles.measure_colors((24, 32), palette)
    for frame in range(6):
        image = data.film.frames.read(frame)
        source = palette.measure(data.film.frames.read(3 if frame >= 3 else 0))
        assert torch.equal(data.finish(image, frame), palette.match(image, source, colors, 1.0))
    data.teardown("fit")


def test_first_frame_of_a_shot_needs_no_file(two_shots: Path) -> None:
    data = open_film(two_shots, result=1.0)
    assert data.film is not None
    image = data.film.frames.read(3)
    expected = data.finish(image, 3)
    data.film.keep_frames(two_shots.parent / "empty")
    assert torch.equal(data.finish(image, 3), expected)
    data.teardown("fit")


def test_film_content_keeps_a_limited_number_of_frames(tmp_path: Path) -> None:
    data = TransferData("sample:clip", None, plan=Plan(size=64, following_steps=1))
    data.setup("fit")
    film = data.film
    assert film is not None
    film.keep_frames(tmp_path)
    data.require_previous_frames([1, 2, 4])
    for stage in data.stages:
        data.pictures(stage)
        film.frames.write(stage.frame, torch.zeros(1, 3, 48, 64))
        ahead = film._lookahead
        assert ahead is not None
        assert len(ahead._futures) <= 2
        assert len(ahead._contents) <= 7
    data.teardown("fit")
