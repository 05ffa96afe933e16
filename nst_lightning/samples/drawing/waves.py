"""Style: great waves in the manner of a woodcut, a few inks on toned paper."""

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.canvas import Color, finish, grid, hexcolor, ramp, smooth
from nst_lightning.samples.drawing.noise import Array, array, fractal

WIDTH, HEIGHT, SCALE = 768, 576, 2
INDIGO, BLUE, SKY, PALE, FOAM = (hexcolor(text) for text in ("16264d", "2c5587", "6f9fb8", "b4cdc9", "f1e8d2"))
STRIPES = (FOAM, INDIGO, PALE, SKY, INDIGO, BLUE, BLUE, INDIGO, SKY, BLUE, INDIGO, INDIGO, BLUE, PALE, BLUE, INDIGO)

# Each wave, from far to near: level, height, length, phase, lean of its crest.
WAVES = (
    (212.0, 34.0, 150.0, 0.3, 0.8),
    (262.0, 58.0, 235.0, 2.6, 1.0),
    (345.0, 178.0, 440.0, 5.05, 1.25),
    (425.0, 66.0, 260.0, 0.8, 1.1),
    (488.0, 112.0, 470.0, 2.75, 1.2),
    (560.0, 70.0, 300.0, 0.2, 1.1),
)


def _crest(wave: tuple[float, float, float, float, float], depth: float) -> Array:
    """Return the line of a wave, `depth` of the way from its crest to its foot (0 to 1)."""
    level, height, length, phase, lean = wave
    t = np.linspace(-1.5, WIDTH / length + 1.5, 1600)
    angle = 2 * np.pi * t + phase
    swell = (0.5 + 0.5 * np.cos(angle)) ** 1.7
    tall = height * (1 - depth) ** 0.85
    hook = lean * tall * swell**2.2 * (1 - 0.35 * depth)
    ripple = 2.2 * np.sin(angle * 5 + 9 * depth) * (1 - swell)
    x = t * length + hook + 10 * np.sin(angle * 0.5)
    y = level - tall * swell + depth * height * 0.75 + 12 * np.sin(angle * 0.5 + phase) + ripple
    y += 0.5 * hook * smooth(0.8, 1.0, swell)
    return np.stack([x, y], axis=1).astype(np.float32)


def _ink(color: Color) -> tuple[int, int, int]:
    red, green, blue = (round(255 * channel) for channel in color)
    return red, green, blue


def _body(draw: ImageDraw.ImageDraw, wave: tuple[float, float, float, float, float]) -> None:
    depth = 0.0
    for i in range(30):
        line = _crest(wave, min(depth, 0.97)) + array([0, 26 * max(0.0, depth - 0.97)])
        color = STRIPES[i % len(STRIPES)]
        points = [*map(tuple, (line * SCALE).tolist()), (WIDTH * 4, HEIGHT * 4), (-WIDTH * 2, HEIGHT * 4)]
        draw.polygon(points, fill=_ink(color))
        depth += 0.018 if color == INDIGO else 0.05 + 0.012 * (i % 3)


def _foam(draw: ImageDraw.ImageDraw, rng: np.random.Generator, wave: tuple[float, float, float, float, float]) -> None:
    line = _crest(wave, 0.0)
    steep = line[:, 1] < wave[0] - 0.42 * wave[1]
    size = 0.045 * wave[1] + 1.6
    spots = []
    for point in line[steep][:: max(2, int(size / 2))]:
        for _ in range(3):
            claw = np.array([abs(rng.normal(0, 1.5)), rng.normal(-0.2, 1.3)]) * size
            spots.append((point + claw, size * (0.35 + 0.9 * rng.random() ** 2)))
        if rng.random() < 0.33:
            spray = np.array([rng.normal(0.25, 0.5), -abs(rng.normal(0, 0.42))]) * wave[1]
            spots.append((point + spray, 0.8 + 1.5 * rng.random() ** 2))
    for grow, color in ((1.15, INDIGO), (0.0, FOAM), (-2.4, PALE), (-3.2, FOAM)):
        for (x, y), radius in spots:
            r = radius + grow
            if r > 0.4:
                shift = 0.9 if color == PALE else 0.0
                box = [
                    (x + shift - r) * SCALE,
                    (y + shift - r) * SCALE,
                    (x + shift + r) * SCALE,
                    (y + shift + r) * SCALE,
                ]
                draw.ellipse(box, fill=_ink(color))


def _sky(rng: np.random.Generator) -> Image.Image:
    x, y = grid(WIDTH, HEIGHT, SCALE)
    drift = fractal(rng, x.shape, 130, 3, stretch=2.6)
    band = y / 250 + 0.10 * drift
    tone = ramp(band, [(0, "7d8f94"), (0.22, "b9b59c"), (0.5, "e3cfa2"), (0.8, "e9c48f"), (1, "d99c6c")])
    lines = np.abs(((y + 13 * drift) / 15) % 1.0 - 0.5)
    cloud = smooth(0.25, 0.45, drift + 0.4 * np.sin(y / 40))
    tone = tone * (1 - 0.55 * cloud[..., None]) + array(FOAM) * 0.55 * cloud[..., None]
    tone = tone * (1 - 0.42 * (smooth(0.10, 0.05, lines) * (0.35 + 0.65 * cloud))[..., None] * (1 - array(BLUE)))
    sun = np.hypot(x - 602, y - 104)
    disc = smooth(58.5, 57.5, sun)[..., None]
    tone = tone * (1 - disc) + array(hexcolor("c9412c")) * (0.94 + 0.1 * smooth(-1, 1, drift))[..., None] * disc
    return Image.fromarray((np.clip(tone, 0, 1) * 255).astype(np.uint8))


def waves() -> Image.Image:
    """Draw the waves."""
    rng = np.random.default_rng(31)
    image = _sky(rng)
    draw = ImageDraw.Draw(image)
    for wave in WAVES:
        _body(draw, wave)
        _foam(draw, rng, wave)
    canvas = np.asarray(image, dtype=np.float32) / 255.0
    grain = fractal(rng, canvas.shape[:2], 5, 3, stretch=22) + 0.5 * fractal(rng, canvas.shape[:2], 40, 3, stretch=8)
    fiber = fractal(rng, canvas.shape[:2], 4, 2)
    dark = 1 - canvas.mean(axis=2)
    canvas = canvas + ((0.014 + 0.05 * dark) * grain + 0.022 * fiber)[..., None] * array([1.0, 0.97, 0.88])
    return finish(canvas * array([0.99, 0.97, 0.92]), WIDTH, HEIGHT)
