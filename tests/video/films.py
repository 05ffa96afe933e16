"""Small films and their properties."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from nst_lightning.samples.drawing.clip import RATE, Clip
from nst_lightning.video.reader import Pixels
from nst_lightning.video.writer import Timing

CLIP = Clip(frames=6, width=64, height=48)


def create_pictures(count: int = 6, clip: Clip = CLIP) -> list[Pixels]:
    """Returns the first frames of a clip."""
    return [clip.picture(number) for number in range(count)]


def create_timing(count: int, rate: int = RATE) -> Timing:
    """Returns the times of frames at a constant rate."""
    return Timing([Fraction(number, rate) for number in range(count)], Fraction(count, rate))


def assert_close_to_picture(actual: torch.Tensor, expected: Pixels, tolerance: float) -> None:
    """Checks that a frame differs from a picture by a mean absolute error below the tolerance."""
    image = torch.from_numpy(expected.copy()).permute(2, 0, 1)[None] / 255
    assert actual.shape == image.shape
    assert float((actual - image).abs().mean()) < tolerance


def read_sound(path: Path) -> tuple[str, float, float]:
    """Returns codec, seconds and loudness of the sound of a film."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        name = stream.codec_context.name
        frames = [(frame.to_ndarray(), frame.samples, frame.sample_rate) for frame in container.decode(stream)]
    seconds = sum(samples / rate for _, samples, rate in frames)
    return name, seconds, float(np.sqrt(np.mean(np.concatenate([f[0].ravel() for f in frames]).astype(float) ** 2)))


def read_audio_packets(path: Path) -> list[bytes]:
    """Returns the encoded packets of the sound of a film."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def write_truncated(path: Path, whole: Path, share: float) -> Path:
    """Writes a share of a file and returns its path."""
    raw = whole.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    return path
