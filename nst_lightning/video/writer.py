"""Writing of films: a format for each ending, or a folder of frames."""

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import atomic_folder, atomic_path, make_writable_folder
from nst_lightning.video.extras import import_extra
from nst_lightning.video.reader import Pixels
from nst_lightning.video.sound import Sound, SoundTrack


@dataclass(frozen=True)
class Timing:
    """When the frames of a film are shown.

    Attributes:
        times: start of each frame, in seconds from the start of the film.
        end: end of the last frame.
    """

    times: list[Fraction]
    end: Fraction


@dataclass(frozen=True)
class FilmFormat:
    """How FFmpeg writes films with a certain ending.

    Attributes:
        container: name of the container format.
        codec: name of the video codec.
        pixel_format: pixel format of the codec.
        codec_options: options of the codec.
        container_options: options of the container.
        audio_codecs: audio codecs that are copied; sound in others is encoded in the first one. Empty for silent films.
        time_base: unit of time.
    """

    container: str
    codec: str
    pixel_format: str
    codec_options: dict[str, str]
    container_options: dict[str, str]
    audio_codecs: tuple[str, ...] = ()
    time_base: Fraction = Fraction(1, 90000)


# Without x264's macroblock tree, which differs from call to call: equal frames give equal files, a quarter larger.
H264_OPTIONS = {"crf": "17", "preset": "medium", "profile": "high", "threads": "2", "x264-params": "mbtree=0"}
FILM_FORMATS = {
    # Faststart lets a browser play the film before the download ends.
    ".mp4": FilmFormat("mp4", "libx264", "yuv420p", H264_OPTIONS, {"movflags": "+faststart"}, ("aac", "mp3")),
    ".m4v": FilmFormat("mp4", "libx264", "yuv420p", H264_OPTIONS, {"movflags": "+faststart"}, ("aac", "mp3")),
    ".mov": FilmFormat("mov", "libx264", "yuv420p", H264_OPTIONS, {"movflags": "+faststart"}, ("aac", "mp3")),
    ".mkv": FilmFormat("matroska", "libx264", "yuv420p", H264_OPTIONS, {}, ("aac", "mp3", "opus", "vorbis", "flac")),
    ".webm": FilmFormat(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "threads": "2"},
        {},
        ("opus", "vorbis"),
        Fraction(1, 1000),
    ),
    ".gif": FilmFormat("gif", "gif", "pal8", {}, {"loop": "0"}, time_base=Fraction(1, 100)),
    ".webp": FilmFormat("webp", "libwebp_anim", "bgra", {"quality": "90"}, {"loop": "0"}, time_base=Fraction(1, 1000)),
}


def check_film_writable(path: str | Path) -> Path:
    """Checks before a run that a film can be written after it, and creates its folder.

    Args:
        path: film file, or a path without an ending for a folder of frames.

    Returns:
        The path.

    Raises:
        InputError: the ending is unknown, the path exists as another kind, its folder cannot be written to, or PyAV is
            not installed.
    """
    path = Path(path)
    if path.suffix and path.suffix.lower() not in FILM_FORMATS:
        raise InputError(f"Expected a film that ends in {', '.join(FILM_FORMATS)}, or a folder, but got {path}.")
    if path.suffix and path.is_dir():
        raise InputError(f"Expected the path of a film to write, but {path} is a directory.")
    if path.exists() and not path.suffix and not path.is_dir():
        raise InputError(f"Expected a folder to write frames to, but {path} is a file.")
    make_writable_folder(path.parent)
    if path.suffix:
        import_extra("av")
    return path


def write_film(path: Path, pictures: Iterable[Pixels], timing: Timing, sound: Sound | None = None) -> None:
    """Writes a film in the format that the ending of the path names, completely or not at all.

    Args:
        path: file that ends in mp4, m4v, mov, mkv, webm, gif or webp, or a folder for PNG files if there is no ending.
        pictures: frames, ``(height, width, 3)``, 8-bit, all of one size.
        timing: when the frames are shown.
        sound: sound of the film, which silent formats ignore.

    Raises:
        InputError: the ending is unknown.
        OSError: the film cannot be written. A previous file at the path is unchanged.
    """
    path = check_film_writable(path)
    if not path.suffix:
        with atomic_folder(path) as folder:
            for number, pixels in enumerate(pictures):
                Image.fromarray(pixels).save(folder / f"{number:05d}.png", compress_level=3)
        return
    try:
        with atomic_path(path) as temporary:
            _encode(temporary, FILM_FORMATS[path.suffix.lower()], pictures, timing, sound)
    except import_extra("av").FFmpegError as error:
        raise OSError(getattr(error, "errno", None), f"{path} cannot be written: {error.strerror}") from error


def _encode(
    path: Path, film_format: FilmFormat, pictures: Iterable[Pixels], timing: Timing, sound: Sound | None
) -> None:
    av = import_extra("av")
    options = film_format.container_options
    with av.open(str(path), "w", format=film_format.container, options=options) as container:
        frames = iter(pictures)
        first = next(frames)  # its size is that of the film
        stream = _add_stream(container, film_format, first, timing)
        codecs = film_format.audio_codecs
        track = SoundTrack(container, sound, codecs) if sound is not None and codecs else None
        ticks = [round(time / film_format.time_base) for time in (*timing.times, timing.end)]
        for number, pixels in enumerate(chain([first], frames)):
            if track is not None:
                track.write_until(timing.times[number])
            frame = _convert_to_frame(pixels, film_format)
            frame.time_base, frame.pts = film_format.time_base, ticks[number]
            _mux(container, stream.encode(frame), ticks)
        _mux(container, stream.encode(None), ticks)
        if track is not None:
            track.write_until(None)


def _mux(container: Any, packets: Iterable[Any], ticks: list[int]) -> None:
    """Writes packets with the durations of their frames: encoders drop them, and the last frame would have none."""
    for packet in packets:
        packet.duration = max(1, ticks[bisect(ticks, packet.pts)] - packet.pts) if packet.pts < ticks[-1] else 1
        container.mux(packet)


def _add_stream(container: Any, film_format: FilmFormat, pixels: Pixels, timing: Timing) -> Any:
    rate = Fraction(len(timing.times) / (timing.end or Fraction(1))).limit_denominator(1001)
    stream = container.add_stream(film_format.codec, rate=rate, options=film_format.codec_options)
    # In ticks of the mean frame duration, two frames could get the same time.
    stream.time_base = stream.codec_context.time_base = film_format.time_base
    stream.pix_fmt = film_format.pixel_format
    stream.height, stream.width = _encoded_size(pixels, film_format)
    if film_format.pixel_format == "yuv420p":
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709, which players assume or read
        context.color_range = 1
    return stream


def _encoded_size(pixels: Pixels, film_format: FilmFormat) -> tuple[int, int]:
    """Returns height and width, rounded up to even numbers for yuv420p, which stores colors for 2x2 pixels."""
    height, width = pixels.shape[:2]
    return (height + height % 2, width + width % 2) if film_format.pixel_format == "yuv420p" else (height, width)


def _convert_to_frame(pixels: Pixels, film_format: FilmFormat) -> Any:
    av = import_extra("av")
    if film_format.pixel_format == "pal8":
        return _convert_to_palette(pixels)
    height, width = _encoded_size(pixels, film_format)
    # Odd sizes are extended by a copy of the edge.
    padded = np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
    if film_format.pixel_format != "yuv420p":
        return frame.reformat(format=film_format.pixel_format)
    colors = av.video.reformatter
    # FFmpeg's SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT: exact rounding and full-resolution chroma.
    flags = colors.Interpolation.BICUBIC | 0x40000 | 0x2000
    return frame.reformat(format="yuv420p", dst_colorspace=colors.Colorspace.ITU709, interpolation=flags)


def _convert_to_palette(pixels: Pixels) -> Any:
    quantized = Image.fromarray(pixels).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colors = np.asarray(quantized.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)
    # PyAV expects opacity first, unlike FFmpeg's order in memory.
    palette[: len(colors), 1:] = colors
    return import_extra("av").VideoFrame.from_ndarray((np.asarray(quantized), palette), format="pal8")
