from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nst_lightning.data.mask_frames import FilmMask, open_mask
from nst_lightning.data.plan import Plan, Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import write_image
from nst_lightning.video.flow import Flow
from tests.helpers import random_image, smooth_image

# Height and width of the film in px, and its frames; the fourth begins a shot.
SHAPE = (24, 32)
FRAMES, CUT = 7, 4


class Pan(Flow):
    """A camera that moves by two pixels a frame: everything moves two pixels to the right."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def estimate(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        self.pairs.append(numbers)
        flow = torch.zeros(1, 2, *image.shape[-2:])
        flow[:, 0] = 2.0 * (numbers[1] - numbers[0])
        return flow

    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        assert all(first != second for first, second in pairs)


@pytest.fixture
def film(empty_folder: Path) -> Path:
    """A folder `film` of two shots, and a style next to it."""
    folder = empty_folder / "film"
    folder.mkdir()
    for number in range(FRAMES):
        dark = 0.2 * smooth_image(*SHAPE, seed=1)
        write_image(folder / f"{number:03d}.png", dark if number < CUT else 1 - dark)
    write_image(empty_folder / "style.png", random_image(*SHAPE, seed=2))
    return folder


def open_film(flow: Flow | str = "none", **options: Any) -> TransferData:
    data = TransferData("film", "style.png", plan=Plan(size=32, steps=1), flow=flow, **options)
    data.setup("fit")
    return data


def draw_column(column: int, width: int = 4, shape: tuple[int, int] = SHAPE) -> Tensor:
    """Draws a white bar from a column on."""
    mask = torch.zeros(1, 1, *shape)
    mask[..., column : column + width] = 1
    return mask


def write_mask(path: str, mask: Tensor) -> str:
    Path(path).parent.mkdir(exist_ok=True)
    Image.fromarray((mask[0, 0] * 255).byte().numpy()).save(path)
    return path


def strength(data: TransferData, frame: int) -> Tensor:
    value = data.strength_map(SHAPE, frame)
    assert value is not None
    return value


def test_still_mask_stays_where_it_is(film: Path) -> None:
    mask = draw_column(6)
    for data in (open_film(Pan(), style_strength=mask), open_film("none", style_strength=mask)):
        for frame in range(FRAMES):
            assert torch.equal(strength(data, frame), mask)
        data.teardown("fit")


@pytest.mark.parametrize("order", [range(FRAMES), [3], [6, 2, 5, 1], [0, 0, 3, 3]])
def test_moved_mask_follows_the_flow_from_the_start_of_each_shot(film: Path, order: Iterable[int]) -> None:
    # The orders are those of a new run, of a run that resumes within a shot, and of any other use.
    data = open_film(Pan(), style_strength=draw_column(6), move_masks=True)
    for frame in order:
        assert torch.equal(strength(data, frame), draw_column(6 + 2 * (frame - (CUT if frame >= CUT else 0))))
    data.teardown("fit")


def test_moved_mask_does_not_disturb_the_frames(film: Path) -> None:
    contents = []
    for moves in (False, True):
        data = open_film(Pan(), style_strength=draw_column(6), move_masks=moves)
        assert data.film is not None
        data.film.keep_frames(Path("painted"))
        for number in range(FRAMES):
            data.film.frames.write(number, random_image(*SHAPE, number))
        pictures = []
        for frame in (3, 5):
            if moves:
                strength(data, frame)
            pictures.append(data.pictures(Stage(frame, 32, 1)))
        contents.append(pictures)
        data.teardown("fit")
    for plain, moved in zip(*contents, strict=True):
        assert plain.content is not None
        assert moved.content is not None
        assert torch.equal(plain.content, moved.content)
        assert torch.equal(plain.previous[1][0], moved.previous[1][0])


def test_edges_of_a_moved_mask_stay_sharp(film: Path) -> None:
    class Drift(Pan):
        def estimate(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
            return super().estimate(image, other, numbers) * 0.3

    data = open_film(Drift(), style_strength=draw_column(6), move_masks=True)
    actual = strength(data, 3)
    # Three frames of 0.6 px: each edge is one mixed pixel, however many frames have passed.
    expected = 0.2 * draw_column(7) + 0.8 * draw_column(8)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    data.teardown("fit")


def test_film_of_masks_has_one_for_each_frame(film: Path) -> None:
    for number in range(FRAMES):
        write_mask(f"masks/m_{number}.png", draw_column(2 * number))
    data = open_film(hold="masks", hold_weight=3.0)
    for frame in (0, 3, 6, 1):
        hold = data.hold_map(SHAPE, frame)
        assert hold is not None
        torch.testing.assert_close(hold, 1 + 2 * draw_column(2 * frame))
    data.teardown("fit")


def test_masks_of_the_whole_film_follow_the_selection(film: Path) -> None:
    for number in range(FRAMES):
        write_mask(f"masks/m_{number}.png", draw_column(2 * number))
    data = open_film(first=1, last=5, stride=2, style_strength="masks")
    for frame in range(3):
        assert torch.equal(strength(data, frame), draw_column(2 * (1 + 2 * frame)))
    data.teardown("fit")


def test_animation_is_a_film_of_masks(film: Path) -> None:
    frames = [Image.fromarray((draw_column(2 * n)[0, 0] * 255).byte().numpy()) for n in range(FRAMES)]
    frames[0].save("masks.webp", save_all=True, append_images=frames[1:], lossless=True)
    data = open_film(style_strength="masks.webp")
    for frame in (0, 5, 2):
        torch.testing.assert_close(strength(data, frame), draw_column(2 * frame), atol=0.01, rtol=0)
    data.teardown("fit")
    with pytest.raises(InputError, match=r"a picture or a folder of pictures before # in .*, but got a film"):
        open_film(style_strength="masks.webp#3")


def test_folder_of_color_coded_pictures_with_a_label(film: Path) -> None:
    for number in range(FRAMES):
        labels = Image.fromarray((draw_column(number)[0, 0] * 5).byte().numpy())
        Path("segs").mkdir(exist_ok=True)
        labels.save(f"segs/{number}.png")
    data = open_film(style_strength="segs#5")
    for frame in range(FRAMES):
        assert torch.equal(strength(data, frame), draw_column(frame))
    data.teardown("fit")


@pytest.mark.parametrize(
    ("count", "shape", "column", "message"),
    [
        (
            5,
            SHAPE,
            0,
            "to have 4 masks, one for each painted frame, or 7, one for each frame of the film, but it has 5",
        ),
        (4, (32, 24), 0, "the proportions of its picture of 32x24 px"),
        (4, SHAPE, 99, "it is empty"),
        (0, SHAPE, 0, "a folder of numbered masks"),
    ],
)
def test_unusable_films_of_masks_are_rejected(
    film: Path, count: int, shape: tuple[int, int], column: int, message: str
) -> None:
    Path("masks").mkdir()
    for number in range(count):
        write_mask(f"masks/{number}.png", draw_column(column, shape=shape))
    with pytest.raises(InputError, match=message):
        open_film(stride=2, hold="masks")


def test_film_of_masks_requires_a_film(film: Path) -> None:
    write_mask("masks/0.png", draw_column(0))
    data = TransferData("style.png", "style.png", hold="masks", plan=Plan(size=32))
    with pytest.raises(InputError, match="`hold` masks to be one picture, because the content is no film"):
        data.setup("fit")


def test_moving_requires_flow(film: Path) -> None:
    with pytest.raises(InputError, match=r"optical flow for `move_masks`, but `flow` is none: choose --data.flow dis"):
        open_film("none", style_strength=draw_column(0), move_masks=True)


def test_inverted_film_of_masks(film: Path) -> None:
    for number in range(FRAMES):
        write_mask(f"masks/{number}.png", draw_column(number))
    data = open_film()
    assert data.source is not None
    mask = open_mask("masks", "`mask`", data.source, moves=False, invert=True)
    assert isinstance(mask, FilmMask)
    assert torch.equal(mask.at(SHAPE, 4), 1 - draw_column(4))
    small = mask.at((12, 16), 4)
    np.testing.assert_allclose(float(small.mean()), float((1 - draw_column(4)).mean()), atol=0.01)
    data.teardown("fit")
