"""The sound of a film: copied from the source and cut to the painted frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from nst_lightning.video.container_reader import open_container
from nst_lightning.video.extras import import_extra

# Names of FFmpeg's encoders by codec.
AUDIO_ENCODERS = {"opus": "libopus", "aac": "aac"}

# Samples per second of sound that is encoded again.
SAMPLE_RATE = 48000


@dataclass(frozen=True)
class Sound:
    """A part of the sound of a file.

    Attributes:
        path: file with an audio stream.
        start: start of the part, in seconds of the file.
        end: end of the part, in seconds of the file.
    """

    path: str
    start: Fraction
    end: Fraction


class SoundTrack:
    """Writes a sound into a container, interleaved with the frames.

    Packets are copied if the container supports their codec, and encoded again if not.

    Args:
        container: PyAV container that is open for writing.
        sound: sound to write.
        codecs: audio codecs that the container supports; the first one is used for encoding.
    """

    def __init__(self, container: Any, sound: Sound, codecs: tuple[str, ...]) -> None:
        self.container = container
        self.sound = sound
        self._source = open_container(Path(sound.path))
        self._stream = self._source.streams.audio[0]
        is_supported = self._stream.codec_context.name in codecs
        self._packets = self._copy_packets() if is_supported else self._encode_packets(codecs[0])
        self._next = next(self._packets, None)

    def write_until(self, time: Fraction | None) -> None:
        """Writes the packets up to a time in seconds of the film, or all remaining ones if None."""
        while self._next is not None and (time is None or self._next[0] <= time):
            self.container.mux(self._next[1])
            self._next = next(self._packets, None)
        if time is None:
            self._source.close()

    def _copy_packets(self) -> Iterator[tuple[Fraction, Any]]:
        target = self.container.add_stream_from_template(self._stream)
        base = Fraction(self._stream.time_base)
        shift = round(self.sound.start / base)
        for packet in self._source.demux(self._stream):
            # A packet belongs to the part if its middle does.
            if packet.pts is None or packet.pts * base + (packet.duration or 0) * base / 2 < self.sound.start:
                continue
            if packet.pts * base >= self.sound.end:
                return
            packet.pts = max(0, packet.pts - shift)
            packet.dts = packet.pts  # sound is stored in the order in which it is played
            packet.stream = target
            yield packet.pts * base, packet

    def _encode_packets(self, codec: str) -> Iterator[tuple[Fraction, Any]]:
        target = self.container.add_stream(AUDIO_ENCODERS[codec], rate=SAMPLE_RATE, layout="stereo")
        target.bit_rate = 160_000
        for frame in [*self._resample(target), None]:  # None flushes the encoder
            for packet in target.encode(frame):
                yield packet.pts * Fraction(packet.time_base), packet

    def _resample(self, target: Any) -> Iterator[Any]:
        av = import_extra("av")
        resampler = av.AudioResampler(format=target.codec_context.format.name, layout="stereo", rate=SAMPLE_RATE)
        count = 0
        for frame in self._source.decode(self._stream):
            time = frame.pts * Fraction(frame.time_base)
            if time + Fraction(frame.samples, 2 * frame.sample_rate) < self.sound.start:
                continue
            if time >= self.sound.end:
                break
            frame.pts = None
            for resampled in resampler.resample(frame):
                resampled.pts, resampled.time_base = count, Fraction(1, SAMPLE_RATE)
                count += resampled.samples
                yield resampled
