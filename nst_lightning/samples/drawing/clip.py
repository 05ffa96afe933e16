"""A clip whose motion is known exactly: a camera pans over a sample while something moves in front, with a sound."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nst_lightning.samples.gallery import sample_path

RATE = 12
"""Frames a second."""

SOUND_RATE = 44100

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

NOTES = (392.0, 440.0, 523.25, 440.0, 392.0, 329.63, 392.0, 523.25)
"""Of the tune, in hertz."""


@dataclass(frozen=True)
class Clip:
    """Frames of a pan with a ball that rolls against it, all motion in whole pixels.

    Attributes:
        frames: how many.
        width: in px.
        height: in px.
        pan: px a frame that the camera moves to the right; 0 holds it still.
        ball: px a frame that the ball moves to the left in the picture; None leaves it out.
        background: the sample that is panned over.
        cover: the sample the ball is cut from.
        noise: standard deviation of a camera's noise, in [0, 1].
    """

    frames: int = 24
    width: int = 256
    height: int = 192
    pan: int = 2
    ball: int | None = 3
    background: str = "harbour"
    cover: str = "still_life"
    noise: float = 0.0

    @property
    def radius(self) -> int:
        """Of the ball in px."""
        return self.height // 7

    def picture(self, number: int) -> Pixels:
        """A frame, ``(height, width, 3)``."""
        behind = self._behind()
        start = number * self.pan
        frame = behind[:, start : start + self.width].copy()
        if self.ball is not None:
            mask = self.covered(number)
            frame[mask] = self._ball()[mask_places(mask, *self._corner(number), 2 * self.radius + 1)]
        if self.noise:
            grain = np.random.default_rng(number).normal(0, 255 * self.noise, frame.shape)
            frame = (frame + grain).round().clip(0, 255).astype(np.uint8)
        return frame

    def covered(self, number: int) -> NDArray[np.bool_]:
        """Where the ball is in a frame, ``(height, width)``."""
        if self.ball is None:
            return np.zeros((self.height, self.width), bool)
        top, left = self._corner(number)
        rows, columns = np.mgrid[: self.height, : self.width]
        covered: NDArray[np.bool_] = (rows - top - self.radius) ** 2 + (columns - left - self.radius) ** 2 <= (
            self.radius**2
        )
        return covered

    def flow(self, number: int, other: int) -> Field:
        """Where each pixel of a frame is in another one, in px: ``(height, width, 2)``, along the rows first."""
        steps = other - number
        flow = np.zeros((self.height, self.width, 2), np.float32)
        flow[..., 0] = -self.pan * steps
        if self.ball is not None:
            flow[self.covered(number), 0] = -self.ball * steps
        return flow

    def visible(self, number: int, other: int) -> NDArray[np.bool_]:
        """What of a frame is seen in another one as well: in the picture, and not behind the ball."""
        flow = self.flow(number, other)
        rows, columns = np.mgrid[: self.height, : self.width]
        columns = columns + flow[..., 0].astype(int)
        within = (columns >= 0) & (columns < self.width)
        there = self.covered(other)[rows, columns.clip(0, self.width - 1)]
        visible: NDArray[np.bool_] = within & (there == self.covered(number))
        return visible

    def sound(self) -> NDArray[np.float32]:
        """A tune as long as the clip, ``(samples,)`` in [-1, 1]."""
        time = np.arange(round(self.frames / RATE * SOUND_RATE)) / SOUND_RATE
        tune = np.zeros_like(time)
        for number in range(int(np.ceil(time[-1] * 4)) if len(time) else 0):
            since = time - number / 4
            heard = (since >= 0) & (since < 1.5)
            note = np.exp(-4 * since[heard]) * np.minimum(1, since[heard] * 200)
            tune[heard] += 0.3 * note * np.sin(2 * np.pi * NOTES[number % len(NOTES)] * since[heard])
        return tune.astype(np.float32)

    def _corner(self, number: int) -> tuple[int, int]:
        """Top and left of the ball."""
        assert self.ball is not None
        start = self.width * 3 // 4
        return self.height * 11 // 20, start - number * self.ball

    def _behind(self) -> Pixels:
        """The picture that is panned over, high as the clip and at least as wide as the pan."""
        with Image.open(sample_path(self.background)) as opened:
            wide = self.width + self.pan * (self.frames - 1)
            scale = max(self.height / opened.height, wide / opened.width)
            size = round(opened.width * scale), round(opened.height * scale)
            pixels = np.asarray(opened.convert("RGB").resize(size, Image.Resampling.LANCZOS))
        top = (pixels.shape[0] - self.height) // 2
        return pixels[top : top + self.height]

    def _ball(self) -> Pixels:
        """A square with the ball in it."""
        side = 2 * self.radius + 1
        with Image.open(sample_path(self.cover)) as opened:
            middle = opened.convert("RGB").crop((260, 250, 560, 550)).resize((side, side), Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(middle)
        draw.ellipse((0, 0, side - 1, side - 1), outline=(70, 30, 30), width=2)
        return np.asarray(middle)


def mask_places(mask: NDArray[np.bool_], top: int, left: int, side: int) -> tuple[NDArray[np.int64], ...]:
    """Rows and columns in a square at ``top``, ``left`` of the places where a mask is set."""
    rows, columns = np.nonzero(mask)
    return (rows - top).clip(0, side - 1), (columns - left).clip(0, side - 1)
