"""Reader of container files: mp4, mov, mkv, webm, avi and all other formats of FFmpeg."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from nst_lightning.errors import InputError
from nst_lightning.video.extras import import_extra
from nst_lightning.video.reader import DecodedFrame, FilmReader, Pixels

# Height in px from which a film without color metadata is assumed to use BT.709, as players do; else BT.601.
HD_HEIGHT = 720

# Formats of FFmpeg whose files name other files or addresses, which it would open.
REFERRING_FORMATS = frozenset(
    {"applehttp", "avisynth", "concat", "dash", "hls", "image2", "imf", "rtp", "rtsp", "sap", "sdp", "vapoursynth"}
)


def open_container(path: Path) -> Any:
    """Opens a film file, but no list of other files under the name of a film.

    Raises:
        av.FFmpegError: the file is not a film that can be read.
        OSError: the file cannot be opened.
    """
    av = import_extra("av")
    formats = ",".join(sorted(av.formats_available - REFERRING_FORMATS))
    return av.open(str(path), options={"format_whitelist": formats, "protocol_whitelist": "file"})


class ContainerReader(FilmReader):
    """Decodes a container file with PyAV and rotates its frames upright.

    Args:
        path: film file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._pixel_aspect = Fraction(1)

    def decode(self) -> Iterator[DecodedFrame]:
        """See :meth:`FilmReader.decode`."""
        av = import_extra("av")
        try:
            container = open_container(self.path)
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"Expected a film, but {self.path} is not a film that can be read.") from error
        with container:
            stream = _find_stream(container, self.path)
            stream.thread_type = "AUTO"  # decodes frames in parallel
            frame_duration = 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)
            count, end = 0, Fraction(0)
            try:
                for frame in container.decode(stream):
                    time = end if frame.pts is None else frame.pts * Fraction(frame.time_base)
                    duration = frame.duration * Fraction(frame.time_base) if frame.duration else frame_duration
                    stored_aspect = Fraction(stream.sample_aspect_ratio or 1)
                    self._pixel_aspect = 1 / stored_aspect if frame.rotation % 180 == 90 else stored_aspect
                    yield DecodedFrame(_convert_to_rgb(frame), time, duration)
                    count, end = count + 1, time + duration
            except av.FFmpegError as error:
                reason = getattr(error, "strerror", None) or error
                self.problem = f"it is damaged after frame {count} ({reason})"
            self.problem = self.problem or _find_missing_end(container, stream, count, end)

    @property
    def pixel_aspect(self) -> Fraction:
        """See :attr:`FilmReader.pixel_aspect`."""
        return self._pixel_aspect

    @property
    def sound(self) -> str | None:
        """See :attr:`FilmReader.sound`; the file itself if it has an audio stream."""
        with open_container(self.path) as container:
            return str(self.path) if container.streams.audio else None


def _find_stream(container: Any, path: Path) -> Any:
    """Returns the video stream; the cover picture of a song does not count as one."""
    attached = import_extra("av").stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & attached:
            return stream
    raise InputError(f"Expected a film, but {path} has no pictures, only sound or text.")


def _convert_to_rgb(frame: Any) -> Pixels:
    colors = import_extra("av").video.reformatter
    is_unspecified = frame.colorspace == colors.Colorspace.DEFAULT or int(frame.colorspace) == 2
    is_hd = min(frame.height, frame.width) >= HD_HEIGHT
    assumed = {"src_colorspace": colors.Colorspace.ITU709 if is_hd else colors.Colorspace.ITU601}
    # FFmpeg's SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT: exact rounding and full-resolution chroma.
    flags = colors.Interpolation.BICUBIC | 0x40000 | 0x2000
    options = assumed if is_unspecified else {}
    pixels: Pixels = frame.reformat(format="rgb24", interpolation=flags, **options).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


def _find_missing_end(container: Any, stream: Any, count: int, end: Fraction) -> str | None:
    """Describes how much shorter the film is than its metadata say, because most cut-off files raise no error.

    Compares durations: stored frame counts include empty frames and frames that an edit list leaves out.
    """
    stored = [seconds for seconds in (_stored_duration(stream), (container.duration or 0) / 1e6) if seconds]
    seconds = float(end - (stream.start_time or 0) * Fraction(stream.time_base or 1))
    three_frames = 3 * seconds / max(count, 1)
    if stored and seconds < min(stored) - max(three_frames, 0.02 * min(stored)):
        return f"it ends after {count} frames, {seconds:.1f} of {min(stored):.1f} seconds"
    return None


def _stored_duration(stream: Any) -> float | None:
    """Reads the duration in seconds from the metadata of a stream; Matroska stores it as text."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION")
    if not text:
        return None
    hours, minutes, seconds = text.split(":")
    return float(hours) * 3600 + float(minutes) * 60 + float(seconds)
