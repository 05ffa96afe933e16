"""Reading and writing films."""

import shutil
import struct
import sys
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.samples import sample_path
from nst_lightning.samples.drawing.clip import RATE, Clip
from nst_lightning.samples.drawing.clip_file import write_clip
from nst_lightning.video.extras import import_extra
from nst_lightning.video.film import Film, FrameSelection, is_film
from nst_lightning.video.reader import Pixels
from nst_lightning.video.sound import Sound
from nst_lightning.video.writer import Timing, check_film_writable, write_film

CLIP = Clip(frames=6, width=64, height=48)
ENDINGS = [".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp", ""]


def create_pictures(count: int = 6, clip: Clip = CLIP) -> list[Pixels]:
    return [clip.picture(number) for number in range(count)]


def create_timing(count: int, rate: int = RATE) -> Timing:
    return Timing([Fraction(number, rate) for number in range(count)], Fraction(count, rate))


def assert_close_to_picture(found: torch.Tensor, expected: Pixels, tolerance: float) -> None:
    image = torch.from_numpy(expected.copy()).permute(2, 0, 1)[None] / 255
    assert found.shape == image.shape
    assert float((found - image).abs().mean()) < tolerance


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
    for found, time in zip(info.times, times, strict=True):
        assert float(found - info.times[0]) == pytest.approx(float(time), abs=0.002)
    # The encoder of webp shows the last picture as long as the others on average.
    last = 0.9 + 0.18 if ending == ".webp" else 1.2
    assert float(info.end - info.times[0]) == pytest.approx(last, abs=0.011)


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (130, 90, 40)])
@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif"])
def test_film_keeps_colors(color: tuple[int, int, int], ending: str, tmp_path: Path) -> None:
    plain = np.full((48, 64, 3), color, np.uint8)
    write_film(tmp_path / f"film{ending}", iter([plain, plain]), create_timing(2))
    found = Film(tmp_path / f"film{ending}").frame(1, 48, 64)[0, :, 24, 32] * 255
    assert (found - torch.tensor(color)).abs().max() <= 4


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


def read_sound(path: Path) -> tuple[str, float, float]:
    """Returns codec, seconds and loudness of the sound of a film."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        name = stream.codec_context.name
        frames = [(frame.to_ndarray(), frame.samples, frame.sample_rate) for frame in container.decode(stream)]
    seconds = sum(samples / rate for _, samples, rate in frames)
    return name, seconds, float(np.sqrt(np.mean(np.concatenate([f[0].ravel() for f in frames]).astype(float) ** 2)))


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "aac"), (".mov", "aac"), (".mkv", "aac"), (".webm", "opus")])
def test_film_sound_is_copied_and_cut(ending: str, codec: str, tmp_path: Path) -> None:
    source = str(sample_path("clip"))
    sound = Sound(source, Fraction(1, 2), Fraction(3, 2))
    write_film(tmp_path / f"film{ending}", iter(create_pictures(12, Clip(12, 64, 48))), create_timing(12), sound)
    name, seconds, loudness = read_sound(tmp_path / f"film{ending}")
    assert name == codec
    assert seconds == pytest.approx(1, abs=0.06)
    assert loudness > 0.02


def read_audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def test_film_sound_is_not_encoded_again_if_it_fits(tmp_path: Path) -> None:
    sound = Sound(str(sample_path("clip")), Fraction(0), Fraction(2))
    write_film(tmp_path / "film.mp4", iter(create_pictures(24, Clip(24, 64, 48))), create_timing(24), sound)
    assert set(read_audio_packets(tmp_path / "film.mp4")) <= set(read_audio_packets(sample_path("clip")))
    assert len(read_audio_packets(tmp_path / "film.mp4")) >= 90


def test_film_format_without_sound_is_silent(tmp_path: Path) -> None:
    sound = Sound(str(sample_path("clip")), Fraction(0), Fraction(1))
    write_film(tmp_path / "film.gif", iter(create_pictures()), create_timing(6), sound)
    assert Film(tmp_path / "film.gif").reader.sound is None


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


def write_truncated(path: Path, whole: Path, share: float) -> Path:
    raw = whole.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    return path


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


def test_missing_video_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r'PyAV.* is not installed: pip install "nst_lightning\[video\]"'):
        import_extra("av")


def test_sample_clip_equals_the_drawn_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", Clip())
    made, shipped = Film(tmp_path / "clip.mp4"), Film(sample_path("clip"))
    assert made.info == shipped.info
    assert float((made.frame(20, 192, 256) - shipped.frame(20, 192, 256)).abs().mean()) < 0.01
    assert_close_to_picture(shipped.frame(20, 192, 256), Clip().picture(20), 0.03)
    assert read_sound(sample_path("clip"))[1] == pytest.approx(2, abs=0.05)
    assert sample_path("clip").stat().st_size < 200_000
