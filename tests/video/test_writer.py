"""Films that are written."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from nst_lightning.errors import InputError
from nst_lightning.samples.drawing.clip import RATE, Clip
from nst_lightning.video.film import Film, is_film
from nst_lightning.video.writer import Timing, check_film_writable, write_film
from tests.video.films import CLIP, assert_close_to_picture, create_pictures, create_timing

ENDINGS = [".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp", ""]


@pytest.mark.parametrize("ending", ENDINGS)
def test_film_round_trips(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"film{ending}"
    write_film(path, iter(create_pictures()), create_timing(6))
    assert is_film(path)
    film = Film(path, rate=RATE)
    assert len(film) == 6
    assert film.info.problem is None
    assert film.info.cuts == [0]
    assert (film.info.height, film.info.width) == (48, 64)
    assert float(film.info.end - film.info.times[0]) == pytest.approx(0.5, abs=0.011)
    for number in (0, 5, 2):
        assert_close_to_picture(film.frame(number, 48, 64), CLIP.picture(number), 0.03 if ending else 1e-6)
    assert not [file for file in tmp_path.iterdir() if "part" in file.name]


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm", ".gif", ".webp"])
def test_film_keeps_times_of_frames(ending: str, tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(3, 20), Fraction(1, 2), Fraction(4, 5), Fraction(9, 10)]
    write_film(tmp_path / f"film{ending}", iter(create_pictures()), Timing(times, Fraction(6, 5)))
    info = Film(tmp_path / f"film{ending}").info
    for actual, time in zip(info.times, times, strict=True):
        assert float(actual - info.times[0]) == pytest.approx(float(time), abs=0.002)
    # The encoder of webp shows the last picture as long as the others on average.
    last = 0.9 + 0.18 if ending == ".webp" else 1.2
    assert float(info.end - info.times[0]) == pytest.approx(last, abs=0.011)


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (130, 90, 40)])
@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif"])
def test_film_keeps_colors(color: tuple[int, int, int], ending: str, tmp_path: Path) -> None:
    plain = np.full((48, 64, 3), color, np.uint8)
    write_film(tmp_path / f"film{ending}", iter([plain, plain]), create_timing(2))
    actual = Film(tmp_path / f"film{ending}").frame(1, 48, 64)[0, :, 24, 32] * 255
    assert (actual - torch.tensor(color)).abs().max() <= 4


@pytest.mark.parametrize(("height", "width"), [(47, 63), (48, 63), (47, 64)])
def test_film_pads_odd_sizes_with_their_edge(height: int, width: int, tmp_path: Path) -> None:
    frames = [picture[:height, :width] for picture in create_pictures(2)]
    write_film(tmp_path / "film.mp4", iter(frames), create_timing(2))
    film = Film(tmp_path / "film.mp4")
    assert (film.info.height, film.info.width) == (48, 64)
    assert_close_to_picture(film.frame(1, 48, 64)[..., :height, :width], frames[1], 0.03)
    last = film.frame(1, 48, 64)
    assert float((last[..., -1] - last[..., width - 1]).abs().mean()) < 0.03


def test_mp4_can_be_streamed(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", iter(create_pictures()), create_timing(6))
    raw = (tmp_path / "film.mp4").read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")
    with av.open(str(tmp_path / "film.mp4")) as container:
        (stream,) = container.streams.video
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 1


def test_mp4_is_deterministic(tmp_path: Path) -> None:
    # Detail changes between frames: x264's motion search depended on memory addresses.
    noisy = create_pictures(5, Clip(frames=5, width=40, height=32, pan=1, ball=None, noise=0.2))
    elsewhere, films = [b""] * 20, set()
    for number in range(100):
        elsewhere[number % 20] = bytes(1 + number * 7919**2 % 300000)
        write_film(tmp_path / "film.mp4", iter(noisy), create_timing(5))
        films.add((tmp_path / "film.mp4").read_bytes())
    assert len(films) == 1


def test_check_film_writable_rejects_invalid_paths(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    for path, message in (
        ("film.jpg", r"ends in \.mp4, .*\.webp, or a folder"),
        ("folder.mp4", "is a directory"),
        ("file", "is a file"),
        ("file/film.mp4", "cannot be made"),
    ):
        with pytest.raises(InputError, match=message):
            check_film_writable(tmp_path / path)


@pytest.mark.parametrize("ending", [".mp4", ""])
def test_write_film_keeps_the_old_film_after_a_failure(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"film{ending}"
    write_film(path, iter(create_pictures(2)), create_timing(2))
    before = sorted(tmp_path.rglob("*"))

    def yield_then_fail() -> Any:
        yield from create_pictures(1)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_film(path, yield_then_fail(), create_timing(2))
    assert sorted(tmp_path.rglob("*")) == before
    assert len(Film(path)) == 2
