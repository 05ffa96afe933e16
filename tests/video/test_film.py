"""Films that are read."""

import shutil
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.opening import limit_pixels
from nst_lightning.samples import sample_path
from nst_lightning.samples.drawing.clip import RATE, Clip
from nst_lightning.video.container_reader import ContainerReader
from nst_lightning.video.film import Film, FrameSelection, is_film
from nst_lightning.video.picture_readers import AnimationReader, NumberedFrames
from nst_lightning.video.reader import Pixels
from nst_lightning.video.writer import write_film
from tests.video.films import CLIP, assert_close_to_picture, create_pictures, create_timing, write_truncated


def test_frame_selection_selects_frames() -> None:
    path = sample_path("clip")
    whole, some = Film(path), Film(path, FrameSelection(3, 12, 4))
    assert len(whole) == 24
    assert some.info.times == [whole.info.times[number] for number in (3, 7, 11)]
    assert torch.equal(some.frame(1, 96, 128), whole.frame(7, 96, 128))
    assert float(some.info.end) == pytest.approx(13 / RATE, abs=0.01)
    assert len(Film(path, FrameSelection(20))) == 4


def test_frame_selection_rejects_invalid_numbers() -> None:
    for arguments, message in (((-1,), "`first`"), ((5, 4), "`last`"), ((0, None, 0), "`stride`")):
        with pytest.raises(InputError, match=message):
            FrameSelection(*arguments)
    with pytest.raises(InputError, match=r"has 24 frames: lower data\.first"):
        Film(sample_path("clip"), FrameSelection(24))


def test_clone_is_read_at_a_position_of_its_own() -> None:
    film = Film(sample_path("clip"))
    other = film.clone()
    expected = {number: film.frame(number, 24, 32) for number in (1, 4)}
    assert torch.equal(other.frame(1, 24, 32), expected[1]), "the film is at a later frame"
    assert torch.equal(film.frame(5, 24, 32), Film(film.path).frame(5, 24, 32))
    other.close()
    assert torch.equal(other.frame(4, 24, 32), expected[4])
    film.close()
    other.close()


def test_film_frames_can_be_read_in_any_order() -> None:
    film = Film(sample_path("clip"))
    later, earlier = film.frame(9, 48, 64), film.frame(4, 48, 64)
    assert torch.equal(film.frame(9, 48, 64), later)
    assert torch.equal(film.frame(4, 48, 64), earlier)
    assert torch.equal(torch.cat(list(film.frames(48, 64)))[4], earlier[0])


def write_rotated_film(path: Path, rotation: int) -> Pixels:
    """Writes a film with a rotation in its metadata and returns the upright second picture."""
    write_film(path, iter(create_pictures(2)), create_timing(2))
    turned = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotation]
    raw = bytearray(path.read_bytes())
    matrix = raw.index(b"tkhd") + 4 + 40
    a, b, c, d = (number * 65536 for number in turned)
    raw[matrix : matrix + 20] = struct.pack(">iiiii", a, b, 0, c, d)
    path.write_bytes(raw)
    return np.rot90(CLIP.picture(1), -rotation // 90)  # the rotation is clockwise


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_film_applies_the_rotation_of_its_metadata(rotation: int, tmp_path: Path) -> None:
    upright = write_rotated_film(tmp_path / "film.mp4", rotation)
    film = Film(tmp_path / "film.mp4")
    assert (film.info.height, film.info.width) == upright.shape[:2]
    assert_close_to_picture(film.frame(1, *upright.shape[:2]), upright, 0.03)


@pytest.mark.parametrize(("wide", "expected"), [(Fraction(2), (48, 128)), (Fraction(1, 2), (96, 64))])
def test_film_converts_to_square_pixels(wide: Fraction, expected: tuple[int, int], tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = wide
        for picture in create_pictures(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    film = Film(tmp_path / "film.mkv")
    assert (film.info.height, film.info.width) == expected


def test_film_reads_avi(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 3_000_000
        for picture in create_pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    film = Film(tmp_path / "film.avi")
    assert len(film) == 6
    assert_close_to_picture(film.frame(3, 48, 64), CLIP.picture(3), 0.04)


def test_film_reads_a_folder_in_numeric_order(tmp_path: Path) -> None:
    for number in (2, 10, 9):
        Image.fromarray(CLIP.picture(number % 6)).save(tmp_path / f"shot2_{number}.png")
    (tmp_path / "notes.txt").write_text("1")
    film = Film(tmp_path, rate=12.5)
    assert film.info.times == [Fraction(0), Fraction(2, 25), Fraction(4, 25)]
    for place, number in enumerate((2, 9, 10)):
        assert_close_to_picture(film.frame(place, 48, 64), CLIP.picture(number % 6), 1e-6)


def test_film_composes_transparency_on_white(tmp_path: Path) -> None:
    empty = Image.new("RGBA", (20, 16), (0, 0, 0, 0))
    empty.save(tmp_path / "a.webp", save_all=True, append_images=[Image.new("RGBA", (20, 16), "red")], duration=[30, 5])
    film = Film(tmp_path / "a.webp")
    assert torch.equal(film.frame(0, 16, 20), torch.ones(1, 3, 16, 20))
    assert film.info.times == [Fraction(0), Fraction(3, 100)]


def test_is_film_rejects_still_pictures(tmp_path: Path) -> None:
    for name in ("a.webp", "a.gif", "a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        assert not is_film(tmp_path / name)
    assert is_film(Path("nowhere.MP4"))
    assert not is_film(Path("nowhere.jpg"))


def test_film_detects_cuts_but_not_motion(tmp_path: Path) -> None:
    shots = [
        Clip(5, 96, 64, pan=6),
        Clip(5, 96, 64, background="landscape"),
        Clip(5, 96, 64, background="cat", ball=None),
    ]
    frames = [shot.picture(number) for shot in shots for number in range(5)]
    write_film(tmp_path / "film.mp4", iter(frames), create_timing(15))
    film = Film(tmp_path / "film.mp4")
    assert film.info.cuts == [0, 5, 10]
    assert [film.shot_start(number) for number in (0, 4, 5, 9, 14)] == [0, 0, 5, 5, 10]


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm", ".gif"])
def test_truncated_file_gives_its_frames_and_a_problem(ending: str, tmp_path: Path) -> None:
    clip = Clip(frames=36, width=96, height=64, pan=4, ball=None, noise=0.05)
    whole = tmp_path / f"whole{ending}"
    write_film(whole, iter(create_pictures(36, clip)), create_timing(36))
    film = Film(write_truncated(tmp_path / f"film{ending}", whole, 0.6))
    assert 5 < len(film) < 36
    assert film.info.problem is not None
    assert "after" in film.info.problem
    for number in (0, len(film) // 2):
        assert float((film.frame(number, 64, 96) - Film(whole).frame(number, 64, 96)).abs().mean()) < 1e-6
    assert set(film.info.times) <= set(Film(whole).info.times)


def test_film_rejects_files_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(InputError, match=r"text\.mp4 is not a film that can be read"):
        Film(tmp_path / "text.mp4")
    with wave.open(str(tmp_path / "song.wav"), "wb") as song:
        song.setparams((1, 2, 8000, 0, "NONE", ""))
        song.writeframes(bytes(16000))
    shutil.copy(tmp_path / "song.wav", tmp_path / "song.avi")
    with pytest.raises(InputError, match=r"song\.avi has no pictures, only sound"):
        Film(tmp_path / "song.avi")
    with pytest.raises(InputError, match="there is none at"):
        Film(tmp_path / "nowhere.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures with numbers"):
        Film(tmp_path / "empty")


def test_limit_of_pixels_is_that_of_the_opened_film(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    pictures = [Image.fromarray(picture) for picture in create_pictures(2)]
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    for create in (lambda: NumberedFrames(folder, 24.0), lambda: AnimationReader(tmp_path / "a.gif")):
        with limit_pixels(CLIP.width * CLIP.height):
            accepted = create()
        with limit_pixels(100):
            assert len(list(accepted.decode())) == 2
            refused = create()
        with pytest.raises(InputError, match=r"at most 100 pixels, but .* 64x48 px"):
            list(refused.decode())


def test_small_frames_of_several_sizes_begin_shots(tmp_path: Path) -> None:
    # Below the number of cells of a thumbnail, each size has its own.
    frames = [Image.new("RGB", (9, height), "red") for height in (7, 7, 20)]
    frames[0].save(tmp_path / "film.tiff", save_all=True, append_images=frames[1:])
    film = Film(tmp_path / "film.tiff")
    assert film.info.cuts == [0, 2]
    assert [frame.shape for frame in film.frames(7, 9)] == [(1, 3, 7, 9)] * 3


def test_film_that_loses_frames_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    frames = [Image.new("RGB", (9, 7), color) for color in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    film = Film(path)
    frames[0].save(path, save_all=True, append_images=frames[1:2])
    film.frame(1, 7, 9)
    with pytest.raises(InputError, match=r"Expected 3 frames in .*film.gif.*now it has only 2"):
        film.frame(2, 7, 9)


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile other.ts\n"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.ts\n#EXT-X-ENDLIST\n"),
    ],
)
def test_lists_of_other_files_are_not_opened(name: str, script: str, tmp_path: Path) -> None:
    """FFmpeg reads the files that they name."""
    with av.open(sample_path("clip")) as source, av.open(tmp_path / "other.ts", "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    path = tmp_path / name
    path.write_text(script)
    with av.open(path) as listed:
        assert next(listed.decode(video=0)).width > 0
    with pytest.raises(InputError, match="not a film that can be read"):
        next(ContainerReader(path).decode())
