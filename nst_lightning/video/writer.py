"""Films on the way out: a film by its ending, or a folder of frames, with the times and the sound they are given."""

import os
import shutil
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.video.needs import import_extra
from nst_lightning.video.sound import Sound, SoundTrack
from nst_lightning.video.source import Pixels


@dataclass(frozen=True)
class Timing:
    """When frames are shown.

    Attributes:
        times: of each frame, in seconds from the first one's.
        end: when the last one is no longer shown.
    """

    times: list[Fraction]
    end: Fraction


@dataclass(frozen=True)
class Format:
    """How films with an ending are written.

    Attributes:
        container: FFmpeg's name of it.
        codec: of the pictures.
        pixels: how the codec takes them.
        options: of the codec.
        header: options of the container.
        sounds: codecs of sound that fit in as they are; others become the first one; none: it is silent.
        base: the unit of time.
    """

    container: str
    codec: str
    pixels: str
    options: dict[str, str]
    header: dict[str, str]
    sounds: tuple[str, ...] = ()
    base: Fraction = Fraction(1, 90000)


# Without x264's macroblock tree, which differs from call to call: the same frames are the same file. A quarter larger.
H264 = {"crf": "17", "preset": "medium", "profile": "high", "threads": "2", "x264-params": "mbtree=0"}
FORMATS = {
    # Faststart: a browser begins to play before it has all of the file.
    ".mp4": Format("mp4", "libx264", "yuv420p", H264, {"movflags": "+faststart"}, ("aac", "mp3")),
    ".m4v": Format("mp4", "libx264", "yuv420p", H264, {"movflags": "+faststart"}, ("aac", "mp3")),
    ".mov": Format("mov", "libx264", "yuv420p", H264, {"movflags": "+faststart"}, ("aac", "mp3")),
    ".mkv": Format("matroska", "libx264", "yuv420p", H264, {}, ("aac", "mp3", "opus", "vorbis", "flac")),
    ".webm": Format(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "threads": "2"},
        {},
        ("opus", "vorbis"),
        Fraction(1, 1000),
    ),
    ".gif": Format("gif", "gif", "pal8", {}, {"loop": "0"}, base=Fraction(1, 100)),
    ".webp": Format("webp", "libwebp_anim", "bgra", {"quality": "90"}, {"loop": "0"}, base=Fraction(1, 1000)),
}


def check_film_writable(path: str | Path) -> Path:
    """The path of a film that is to be written later, or of a folder for its frames, with all checked now.

    Raises:
        InputError: an ending that no format has, or a folder that cannot be made or written to.
    """
    path = Path(path)
    if path.suffix and path.suffix.lower() not in FORMATS:
        raise InputError(f"Expected a film that ends in {', '.join(FORMATS)}, or a folder, but got {path}.")
    if path.suffix and path.is_dir():
        raise InputError(f"Expected the path of a film to write, but {path} is a directory.")
    if path.exists() and not path.suffix and not path.is_dir():
        raise InputError(f"Expected a folder to write frames to, but {path} is a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Expected to write into {path.parent}, but it cannot be made: {error}.") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"Expected to write into {path.parent}, but that is not permitted.")
    if path.suffix:
        import_extra("av")
    return path


def write_film(path: Path, pictures: Iterable[Pixels], timing: Timing, sound: Sound | None = None) -> None:
    """Writes a film in the format of the path's ending, beside its place first and then renamed.

    Args:
        path: ends in mp4, m4v, mov, mkv, webm, gif or webp; without an ending it is a folder for PNG files.
        pictures: ``(height, width, 3)``, 8 bit, all of one size, one after the other.
        timing: when they are shown.
        sound: what is heard with it, where the format has sound.

    Raises:
        InputError: an ending that no format has.
        OSError: the film cannot be written; what was there before is untouched.
    """
    path = check_film_writable(path)
    if not path.suffix:
        return _write_folder(path, pictures)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _encode(beside, FORMATS[path.suffix.lower()], pictures, timing, sound)
        os.replace(beside, path)
    except import_extra("av").FFmpegError as error:
        raise OSError(getattr(error, "errno", None), f"{path} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def _write_folder(path: Path, pictures: Iterable[Pixels]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.mkdir()
    try:
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(beside / f"{number:05d}.png", compress_level=3)
        path.mkdir(exist_ok=True)
        for file in sorted(beside.iterdir()):
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(beside)


def _encode(path: Path, how: Format, pictures: Iterable[Pixels], timing: Timing, sound: Sound | None) -> None:
    with import_extra("av").open(str(path), "w", format=how.container, options=how.header) as container:
        frames = iter(pictures)
        first = next(frames)
        stream = _stream(container, how, first, timing)
        track = SoundTrack(container, sound, how.sounds) if sound is not None and how.sounds else None
        ticks = [round(time / how.base) for time in (*timing.times, timing.end)]
        for number, pixels in enumerate(_chained(first, frames)):
            if track is not None:
                track.write_until(timing.times[number])
            frame = _frame(pixels, how)
            frame.time_base, frame.pts = how.base, ticks[number]
            _mux(container, stream.encode(frame), ticks)
        _mux(container, stream.encode(None), ticks)
        if track is not None:
            track.write_until(None)


def _mux(container: Any, packets: Iterable[Any], ticks: list[int]) -> None:
    """Writes packets with the duration of their frames, which codecs do not hand on, and the last frame would lack."""
    for packet in packets:
        packet.duration = max(1, ticks[bisect(ticks, packet.pts)] - packet.pts) if packet.pts < ticks[-1] else 1
        container.mux(packet)


def _chained(first: Pixels, others: Iterator[Pixels]) -> Iterator[Pixels]:
    yield first
    yield from others


def _stream(container: Any, how: Format, pixels: Pixels, timing: Timing) -> Any:
    rate = Fraction(len(timing.times) / (timing.end or Fraction(1))).limit_denominator(1001)
    stream = container.add_stream(how.codec, rate=rate, options=how.options)
    # Two frames with different times must not fall on one tick, as they would in ticks of a mean frame.
    stream.time_base = stream.codec_context.time_base = how.base
    stream.pix_fmt = how.pixels
    stream.height, stream.width = (_even(length, how) for length in pixels.shape[:2])
    if how.pixels == "yuv420p":
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709, which players assume or read
        context.color_range = 1
    return stream


def _even(length: int, how: Format) -> int:
    """Colors of yuv420p are kept for two by two pixels."""
    return length + length % 2 if how.pixels == "yuv420p" else length


def _frame(pixels: Pixels, how: Format) -> Any:
    av = import_extra("av")
    if how.pixels == "pal8":
        return _with_palette(pixels)
    height, width = (_even(length, how) for length in pixels.shape[:2])
    # The edge goes on where a size is odd.
    padded = np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
    if how.pixels != "yuv420p":
        return frame.reformat(format=how.pixels)
    colors = av.video.reformatter
    flags = colors.Interpolation.BICUBIC | 0x40000 | 0x2000  # with accurate rounding and whole chroma
    converted = frame.reformat(format="yuv420p", dst_colorspace=colors.Colorspace.ITU709, interpolation=flags)
    return converted


def _with_palette(pixels: Pixels) -> Any:
    quantized = Image.fromarray(pixels).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colors = np.asarray(quantized.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)
    # FFmpeg's order in memory: blue, green, red, opacity on little-endian machines; PyAV takes opacity first.
    palette[: len(colors), 1:] = colors
    return import_extra("av").VideoFrame.from_ndarray((np.asarray(quantized), palette), format="pal8")
