from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nst_lightning.data.colors import ColorMode
from nst_lightning.data.palette import Palette
from nst_lightning.data.plan import Plan, Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.functional.color import add_chroma
from nst_lightning.images.io import read_image, write_image
from nst_lightning.images.resize import resize
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


def open_colors(folder: Path, colors: ColorMode, size: int = 32) -> TransferData:
    data = TransferData(
        str(folder), str(folder.parent / "style.png"), plan=Plan(size=size, steps=1), flow="none", colors=colors
    )
    data.setup("fit")
    assert data.film is not None
    for number in range(6):
        data.film.frames.write(number, random_image(24, 32, number))
    return data


def test_styles_have_the_colors_of_the_first_frame_of_the_shot(two_shots: Path) -> None:
    data, palette, style = (
        open_colors(two_shots, "content"),
        Palette(),
        read_image(two_shots.parent / "style.png").image,
    )
    contents = [read_content(data, frame) for frame in range(6)]
    for frame in range(6):
        # Also in a run that resumes within the shot.
        resumed = open_colors(two_shots, "content")
        target = palette.measure_styles([contents[3 if frame >= 3 else 0]], [None], [1.0])
        expected = palette.match(style, palette.measure(style), target, 1.0)
        assert torch.equal(data.pictures(Stage(frame, 32, 1)).styles[0], expected)
        assert torch.equal(resumed.pictures(Stage(frame, 32, 1)).styles[0], expected)
        resumed.teardown("fit")
    same = [data.has_same_styles(Stage(frame, 32, 1), Stage(frame + 1, 32, 1)) for frame in range(5)]
    assert same == [True, True, False, True, True]
    assert not data.has_same_styles(Stage(0, 16, 1), Stage(0, 32, 1))
    data.teardown("fit")


def test_styles_that_are_not_recolored_stay_for_the_whole_film(two_shots: Path) -> None:
    modes: list[ColorMode] = ["style", "match"]
    for colors in modes:
        data = open_colors(two_shots, colors)
        assert data.has_same_styles(Stage(2, 32, 1), Stage(3, 32, 1))
        assert not data.has_same_styles(Stage(2, 16, 1), Stage(2, 32, 1))
        data.teardown("fit")


@pytest.mark.parametrize("frames", [range(6), [5, 0, 4, 4, 1]])
def test_each_frame_gets_its_own_chroma_back(two_shots: Path, frames: Iterable[int]) -> None:
    data = open_colors(two_shots, "luminance")
    gray = (0.4 + 0.2 * random_image(24, 32, seed=3)[:, :1]).expand(1, 3, 24, 32)
    for frame in frames:
        content = read_image(two_shots / f"{frame:03d}.png").image
        assert torch.equal(data.finish(gray, frame), add_chroma(gray, content, 0.0, 1.0))
        small = data.finish(resize(gray, 12, 16), frame)
        assert torch.equal(small, add_chroma(resize(gray, 12, 16), resize(content, 12, 16), 0.0, 1.0))
    data.teardown("fit")


def test_region_that_moves_has_the_map_of_the_first_frame(two_shots: Path) -> None:
    data, palette = open_colors(two_shots, "match"), Palette()
    masks = [torch.zeros(1, 1, 24, 32) for _ in range(6)]
    for frame, mask in enumerate(masks):
        mask[..., 4 * frame : 4 * frame + 12] = 1
    data.styles.image_weights = lambda shape, frame=0: [masks[frame]]  # type: ignore[method-assign]
    assert data.film is not None
    colors = data.styles.measure_colors((24, 32), palette)
    for frame in range(6):
        image, first = data.film.frames.read(frame), 3 if frame >= 3 else 0
        source = palette.measure(data.film.frames.read(first), masks[first])
        matched = palette.match(image, source, colors, 1.0)
        torch.testing.assert_close(data.finish(image, frame), torch.where(masks[frame] > 0, matched, image))
    data.teardown("fit")
