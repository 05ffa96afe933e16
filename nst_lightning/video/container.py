"""Films in containers: mp4, mov, mkv, webm, avi and whatever else FFmpeg reads."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from nst_lightning.errors import InputError
from nst_lightning.video.needs import import_extra
from nst_lightning.video.source import Decoded, Pixels, Source

HIGH_DEFINITION = 720
"""Height in px from which a film that does not name its colors has those of high definition, as players assume."""


class Container(Source):
    """A film that PyAV decodes as it goes, turned as its metadata say.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._stretch = Fraction(1)

    def decoded(self) -> Iterator[Decoded]:
        """See :meth:`Source.decoded`."""
        av = import_extra("av")
        try:
            container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"Expected a film, but {self.path} is none that can be read.") from error
        with container:
            stream = _pictures_of(container, self.path)
            yield from self._frames(container, stream, av.FFmpegError)

    def _frames(self, container: Any, stream: Any, failure: type[Exception]) -> Iterator[Decoded]:
        stream.thread_type = "AUTO"
        usual = 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)
        count, end = 0, Fraction(0)
        try:
            for frame in container.decode(stream):
                time = end if frame.pts is None else frame.pts * Fraction(frame.time_base)
                duration = frame.duration * Fraction(frame.time_base) if frame.duration else usual
                wide = Fraction(stream.sample_aspect_ratio or 1)
                self._stretch = 1 / wide if frame.rotation % 180 == 90 else wide
                yield Decoded(_pixels(frame), time, duration)
                count, end = count + 1, time + duration
        except failure as error:
            self.problem = f"it is damaged after frame {count} ({_words(error)})"
        self.problem = self.problem or _missing(container, stream, count, end)

    @property
    def stretch(self) -> Fraction:
        """See :attr:`Source.stretch`."""
        return self._stretch

    @property
    def sound(self) -> str | None:
        """The file itself, where it has a sound."""
        with import_extra("av").open(str(self.path)) as container:
            return str(self.path) if container.streams.audio else None


def _pictures_of(container: Any, path: Path) -> Any:
    """The stream with the film, which the cover of a song is not."""
    attached = import_extra("av").stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & attached:
            return stream
    raise InputError(f"Expected a film, but {path} has no pictures, only sound or text.")


def _pixels(frame: Any) -> Pixels:
    colors = import_extra("av").video.reformatter
    unnamed = frame.colorspace == colors.Colorspace.DEFAULT or int(frame.colorspace) == 2
    named = colors.Colorspace.ITU709 if min(frame.height, frame.width) >= HIGH_DEFINITION else colors.Colorspace.ITU601
    options = {"src_colorspace": named} if unnamed else {}
    flags = colors.Interpolation.BICUBIC | 0x40000 | 0x2000  # with accurate rounding and whole chroma
    pixels: Pixels = frame.reformat(format="rgb24", interpolation=flags, **options).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


def _missing(container: Any, stream: Any, count: int, end: Fraction) -> str | None:
    """What a film lacks that says how long it is: files that were cut off seldom have an error to raise.

    Numbers of frames are no measure: they count those that an edit left out, and empty ones.
    """
    said = [seconds for seconds in (_said_duration(stream), (container.duration or 0) / 1e6) if seconds]
    seconds = float(end - (stream.start_time or 0) * Fraction(stream.time_base or 1))
    few = 3 * seconds / max(count, 1)
    if said and seconds < min(said) - max(few, 0.02 * min(said)):
        return f"it ends after {count} frames, {seconds:.1f} of {min(said):.1f} seconds"
    return None


def _said_duration(stream: Any) -> float | None:
    """Seconds that a stream says it lasts; Matroska writes it as a text."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION")
    if not text:
        return None
    hours, minutes, seconds = text.split(":")
    return float(hours) * 3600 + float(minutes) * 60 + float(seconds)


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
