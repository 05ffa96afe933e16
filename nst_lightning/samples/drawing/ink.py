"""Style: ink wash and pen, misty mountains behind bamboo on grainy paper."""

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.canvas import blur, finish, grid, over, smooth
from nst_lightning.samples.drawing.noise import Array, array, fractal, read, value_noise
from nst_lightning.samples.drawing.strokes import follow, scatter

WIDTH, HEIGHT, SCALE = 768, 576, 2

# Each ridge: level, height, breadth of its peaks, fade, strength of the ink.
RIDGES = (
    (160.0, 85.0, 150.0, 85.0, 0.50),
    (250.0, 135.0, 210.0, 100.0, 0.78),
    (390.0, 120.0, 170.0, 100.0, 0.95),
    (500.0, 75.0, 240.0, 120.0, 0.95),
)


def _skyline(rng: np.random.Generator, ridge: tuple[float, float, float, float, float], x: Array) -> Array:
    level, height, channel_ratio, _, _ = ridge
    bumps = 1 - np.abs(value_noise(rng, (1, x.shape[1]), (1.0, channel_ratio * SCALE))) * 1.6
    rough = fractal(rng, (8, x.shape[1]), 60 * SCALE, 6, 0.55)[:1]
    return np.asarray(level - height * bumps + 7 * rough, dtype=np.float32)


def _hatch(rng: np.random.Generator, tone: Array, angle: Array, spacing: float, length: int, weight: int) -> Array:
    """Draw pen strokes along a field, the more the darker the tone."""
    layer = Image.new("L", (tone.shape[1], tone.shape[0]))
    draw = ImageDraw.Draw(layer)
    starts = scatter(rng, tone.shape, spacing, 1.7)
    dark = read(tone, starts[:, 0], starts[:, 1])
    starts = starts[rng.random(len(starts)) < dark]
    force = (150 + 105 * rng.random(len(starts))).astype(int)
    thick = rng.integers(1, weight + 1, len(starts))
    for path, shade, pen in zip(follow(angle, starts, length, 4.0), force.tolist(), thick.tolist(), strict=True):
        draw.line(path.ravel().tolist(), fill=shade, width=pen)
        draw.line(path[len(path) // 3 :].ravel().tolist(), fill=shade, width=pen + 1)
    return np.asarray(layer, dtype=np.float32) / 255.0


def _mountains(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the ink of the mountains, and the part of it that lies in wet pools."""
    ink = np.zeros_like(x)
    for ridge in RIDGES:
        depth = y - _skyline(rng, ridge, x)
        clumps = fractal(rng, x.shape, 90, 5, 0.6, stretch=0.7)
        inside = smooth(-0.6, 0.6, depth)
        tone = inside * ridge[4] * np.exp(-np.clip(depth, 0, None) / ridge[3]) * (0.8 + 0.25 * clumps)
        edge = inside * 0.25 * ridge[4] * np.exp(-np.abs(depth) / 1.6)
        veil = inside * smooth(ridge[3] * 1.3, 0, depth)
        down, across = np.gradient(blur(fractal(rng, x.shape, 120, 4) * 22 - depth, 4))
        angle = np.arctan2(np.abs(down) + 0.8, across * 1.6)
        pen = _hatch(rng, np.clip(tone * 1.15 - 0.05, 0, 0.9), angle, 6.5, 12, 2)
        cross = _hatch(rng, np.clip(tone * 1.4 - 0.5, 0, 0.9), angle + 1.0, 6.5, 8, 2)
        strokes = np.maximum(pen, cross) * ridge[4] * smooth(-4, 2, depth)
        ink = ink * (1 - 0.97 * veil) * (1 - 0.5 * inside)
        ink = 1 - (1 - ink) * (1 - np.clip(0.75 * tone + edge, 0, 1)) * (1 - 0.62 * strokes)
    return ink.astype(np.float32), blur(ink, 9)


def _leaf(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, base: Array, turn: float, size: float, shade: int
) -> None:
    t = np.linspace(0, 1, 14)
    bend = turn + rng.normal(0, 0.25) * t
    spine = base + np.cumsum(np.stack([np.cos(bend), np.sin(bend)], axis=1), axis=0) * size / 14
    wide = (size * 0.105 * np.sin(np.pi * t**0.7) ** 0.9)[:, None] * np.stack([-np.sin(bend), np.cos(bend)], axis=1)
    outline = np.concatenate([spine + wide, (spine - wide)[::-1]]) * SCALE
    draw.polygon(outline.ravel().tolist(), fill=shade)


def _stalk(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, foot: float, lean: float, width: float, shade: int
) -> None:
    y = HEIGHT + 20.0
    while y > -90:
        length = 78 + 26 * rng.random()
        x, top = foot + lean * (HEIGHT - y), foot + lean * (HEIGHT - y + length)
        corners = [
            (x - width / 2, y),
            (top - width / 2, y - length + 5),
            (top + width / 2, y - length + 5),
            (x + width / 2, y),
        ]
        draw.polygon([(a * SCALE, b * SCALE) for a, b in corners], fill=shade)
        knot = [top - width * 0.62, y - length + 2, top + width * 0.62, y - length + 6]
        draw.rounded_rectangle([v * SCALE for v in knot], radius=4, fill=min(255, shade + 40))
        side = -1 if rng.random() < 0.5 else 1
        for _ in range(rng.integers(1, 3)):
            reach = 35 + 60 * rng.random()
            tip = np.array([top + side * reach, y - length - reach * (0.15 + 0.5 * rng.random())])
            draw.line([top * SCALE, (y - length + 4) * SCALE, *(tip * SCALE).tolist()], fill=shade, width=4)
            for _ in range(6):
                start = array(tip - np.array([side * reach, 0]) * rng.random() * 0.5)
                turn = np.pi / 2 - side * (0.35 + 0.6 * rng.normal(0.4, 0.6))
                _leaf(draw, rng, start, turn, 40 + 38 * rng.random(), min(255, int(shade + rng.normal(10, 30))))
            side = -side
        y -= length


def _bamboo(rng: np.random.Generator, x: Array) -> Array:
    ink = np.zeros_like(x)
    dry = fractal(rng, x.shape, 140, 4, 0.6, stretch=0.06)
    stalks = (
        (655, 0.05, 13, 105),
        (38, 0.03, 10, 95),
        (700, -0.06, 18, 225),
        (100, -0.09, 16, 215),
        (592, 0.10, 9, 190),
    )
    for foot, lean, width, shade in stalks:
        layer = Image.new("L", (x.shape[1], x.shape[0]))
        _stalk(ImageDraw.Draw(layer), rng, foot, lean, width, shade)
        wet = np.asarray(layer, dtype=np.float32) / 255.0
        rim = np.clip(wet - blur(wet, 5), 0, 1)
        wet = np.clip(blur(wet, 0.8) * (0.86 + 0.06 * dry) + 0.45 * rim, 0, 1)
        ink = 1 - (1 - ink) * (1 - wet)
    return ink.astype(np.float32)


def ink() -> Image.Image:
    """Draw the ink painting."""
    rng = np.random.default_rng(8)
    x, y = grid(WIDTH, HEIGHT, SCALE)
    hills, pools = _mountains(rng, x, y)
    clouds = fractal(rng, x.shape, 330, 5, 0.55, stretch=2.2)
    sky = np.clip(0.14 + 0.13 * clouds, 0, 1) * smooth(330, 40, y)
    drift = array(0.10 * clouds + 0.12 * np.sin(x / 80))
    wisp = _hatch(rng, array(np.clip(0.17 + 0.15 * clouds, 0.04, 0.6)), drift, 9.0, 22, 1)
    dark = 1 - (1 - hills) * (1 - sky) * (1 - 0.15 * pools) * (1 - 0.28 * wisp)
    dark = 1 - (1 - dark) * (1 - _bamboo(rng, x) * 0.93)
    paper = fractal(rng, x.shape, 5, 3) + 0.6 * fractal(rng, x.shape, 24, 2, stretch=5)
    grains = fractal(rng, x.shape, 3, 2)
    dark = np.clip(dark * (1 + 0.045 * grains + 0.06 * paper) + 0.08 * dark * (1 - dark) * paper, 0, 0.97)
    stain = fractal(rng, x.shape, 400, 4)
    canvas = array([0.93, 0.885, 0.785]) * (1 + 0.022 * paper + 0.03 * stain)[..., None]
    over(canvas, dark, (0.085, 0.08, 0.09))
    seal = smooth(0.6, -0.6, np.maximum(np.abs(x - 222), np.abs(y - 512)) - 17)
    carved = smooth(0.15, 0.45, np.abs(value_noise(rng, x.shape, (14, 14)))) * smooth(
        15, 14, np.maximum(np.abs(x - 222), np.abs(y - 512))
    )
    over(canvas, seal * (0.92 - 0.75 * carved) * (0.9 + 0.05 * grains), (0.70, 0.13, 0.09))
    return finish(canvas, WIDTH, HEIGHT)
