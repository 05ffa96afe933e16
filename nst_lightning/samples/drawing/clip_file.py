"""Writes the sample clip, and its flow: `python -m nst_lightning.samples.drawing.clip_file OUTPUT [FLOWS]`."""

import sys
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from nst_lightning.samples.drawing.clip import RATE, SOUND_RATE, Clip
from nst_lightning.video.flo_files import write_flow
from nst_lightning.video.sound import Sound
from nst_lightning.video.writer import Timing, write_film


def write_clip(path: Path, clip: Clip) -> None:
    """Writes a clip with its sound; see :func:`nst_lightning.video.writer.write_film`."""
    length = Fraction(clip.frames, RATE)
    with tempfile.TemporaryDirectory() as folder:
        tune = Path(folder) / "tune.wav"
        _write_wave(tune, clip)
        pictures = (clip.picture(number) for number in range(clip.frames))
        timing = Timing([Fraction(number, RATE) for number in range(clip.frames)], length)
        write_film(path, pictures, timing, Sound(str(tune), Fraction(0), length))


def write_flows(folder: Path, clip: Clip, offsets: tuple[int, ...] = (1,)) -> None:
    """Writes the exact flow of a clip as ``FRAME_TO.flo``, both ways between frames so far apart."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(clip.frames):
        for other in (number + sign * offset for offset in offsets for sign in (-1, 1)):
            if 0 <= other < clip.frames:
                flow = torch.from_numpy(clip.flow(number, other)).permute(2, 0, 1)[None]
                write_flow(folder / f"{number}_{other}.flo", flow)


def _write_wave(path: Path, clip: Clip) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes((clip.sound() * 32767).astype(np.dtype("<i2")).tobytes())


def main(args: list[str]) -> int:
    """Writes the sample clip to a file, and its flow to a folder where one is given; returns the exit status."""
    write_clip(Path(args[0]), Clip())
    if args[1:]:
        write_flows(Path(args[1]), Clip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
