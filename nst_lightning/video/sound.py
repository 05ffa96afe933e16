"""The sound of a film: taken over from the source, cut to the frames that are there."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nst_lightning.video.needs import import_extra

ENCODERS = {"opus": "libopus", "aac": "aac"}
RATE = 48000
"""Samples a second of sound that has to be encoded anew."""


@dataclass(frozen=True)
class Sound:
    """A stretch of the sound of a file.

    Attributes:
        path: the file.
        start: in seconds of the file.
        end: likewise.
    """

    path: str
    start: Fraction
    end: Fraction


class SoundTrack:
    """Writes a sound into a film, bit by bit between its frames.

    Packets are taken over as they are where the container knows their codec, and encoded anew where not.

    Args:
        container: PyAV's, opened for writing.
        sound: what is heard.
        codecs: those the container knows; the first one is used otherwise.
    """

    def __init__(self, container: Any, sound: Sound, codecs: tuple[str, ...]) -> None:
        self.container = container
        self.sound = sound
        self._source = import_extra("av").open(sound.path)
        self._stream = self._source.streams.audio[0]
        packets = self._copied() if self._stream.codec_context.name in codecs else self._encoded(codecs[0])
        self._packets = packets
        self._next = next(packets, None)

    def write_until(self, time: Fraction | None) -> None:
        """Writes what is heard before a time, in seconds of the film; all the rest if None."""
        while self._next is not None and (time is None or self._next[0] <= time):
            self.container.mux(self._next[1])
            self._next = next(self._packets, None)
        if time is None:
            self._source.close()

    def _copied(self) -> Iterator[tuple[Fraction, Any]]:
        target = self.container.add_stream_from_template(self._stream)
        base = Fraction(self._stream.time_base)
        shift = round(self.sound.start / base)
        for packet in self._source.demux(self._stream):
            if packet.pts is None or packet.pts * base + (packet.duration or 0) * base / 2 < self.sound.start:
                continue
            if packet.pts * base >= self.sound.end:
                return
            packet.pts = max(0, packet.pts - shift)
            packet.dts = packet.pts
            packet.stream = target
            yield packet.pts * base, packet

    def _encoded(self, codec: str) -> Iterator[tuple[Fraction, Any]]:
        target = self.container.add_stream(ENCODERS[codec], rate=RATE, layout="stereo")
        target.bit_rate = 160_000
        for frame in [*self._samples(target), None]:
            for packet in target.encode(frame):
                yield packet.pts * Fraction(packet.time_base), packet

    def _samples(self, target: Any) -> Iterator[Any]:
        av = import_extra("av")
        resampler = av.AudioResampler(format=target.codec_context.format.name, layout="stereo", rate=RATE)
        count = 0
        for frame in self._source.decode(self._stream):
            time = frame.pts * Fraction(frame.time_base)
            if time + Fraction(frame.samples, 2 * frame.sample_rate) < self.sound.start:
                continue
            if time >= self.sound.end:
                break
            frame.pts = None
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = count, Fraction(1, RATE)
                count += piece.samples
                yield piece
