"""Style: a night sky of thick brush strokes along a swirling flow."""

import numpy as np
from PIL import Image

from nst_lightning.samples.drawing.canvas import blur, finish, grid, ramp, relief, smooth
from nst_lightning.samples.drawing.noise import Array, fractal, read
from nst_lightning.samples.drawing.strokes import Canvas, follow, scatter

WIDTH, HEIGHT, SCALE = 768, 576, 2

# Each whirl: x, y, reach, turning strength (its sign is its sense), brightness.
WHIRLS = (
    (330.0, 215.0, 95.0, 2.6, 0.62),
    (475.0, 275.0, 75.0, -2.3, 0.55),
    (655.0, 105.0, 62.0, 2.4, 1.0),
    (95.0, 110.0, 42.0, 2.0, 0.85),
    (212.0, 66.0, 30.0, -1.8, 0.75),
    (495.0, 78.0, 34.0, 1.9, 0.8),
    (120.0, 285.0, 36.0, -1.9, 0.8),
    (600.0, 245.0, 30.0, 1.8, 0.75),
    (385.0, 60.0, 24.0, 1.6, 0.65),
    (715.0, 300.0, 30.0, -1.8, 0.7),
    (245.0, 350.0, 28.0, 1.7, 0.6),
)


def _ridge(x: Array, level: float, phase: float) -> Array:
    wave = 30 * np.sin(x / 118 + phase) + 15 * np.sin(x / 49 + 2 * phase)
    return np.asarray(level + wave, dtype=np.float32)


def _flow(rng: np.random.Generator, x: Array, y: Array) -> Array:
    across = np.full_like(x, 0.75)
    down = 0.55 * np.cos(x / 115 + 0.6) + 0.2 * fractal(rng, x.shape, 160, 2)
    for cx, cy, reach, turn, _ in WHIRLS:
        dx, dy = x - cx, y - cy
        distance = np.hypot(dx, dy) + 1e-3
        pull = 2.2 * np.exp(-((distance / (1.25 * reach)) ** 2)) * np.abs(turn)
        spin = np.sign(turn) * pull / distance
        across += -dy * spin - 0.12 * dx / distance * pull
        down += dx * spin - 0.12 * dy / distance * pull
    for level, phase in ((455.0, 0.4), (515.0, 2.1)):
        inside = smooth(-8, 12, y - _ridge(x, level, phase))
        slope = np.gradient(_ridge(x[0], level, phase), x[0]) + 0.25 * np.sin(y / 15 + phase)
        across += inside * (1.0 - across)
        down += inside * (slope - down)
    return np.arctan2(down, across).astype(np.float32)


def _colors(rng: np.random.Generator, x: Array, y: Array) -> Array:
    mood = fractal(rng, x.shape, 110, 4)
    sky = ramp(
        0.5 + 0.2 * mood + 0.28 * np.sin(y / 62 + x / 190 + mood * 0.7),
        [(0, "0b1747"), (0.3, "17368a"), (0.55, "2b62b8"), (0.8, "5f9fd0"), (1.0, "a9d4d6")],
    )
    for cx, cy, reach, _, bright in WHIRLS:
        distance = np.hypot(x - cx, y - cy) / reach
        rings = 0.5 + 0.5 * np.cos(distance * 8.5 + 0.6 * mood)
        glow = np.exp(-((distance / 0.95) ** 2)) * bright
        warm = [(0.0, "fff3b0"), (0.3, "f8cf3f"), (0.65, "e9a82a"), (1.1, "9fc8b0")]
        cool = [(0.0, "fff6c4"), (0.22, "f6d75a"), (0.4, "e6ecc0"), (0.75, "a8d8e2"), (1.2, "5c9fd6")]
        light = ramp(distance + 0.12 * mood, warm if bright > 0.7 else cool)
        mask = np.clip(glow * (0.55 + 0.75 * rings) * 1.5, 0, 1)[..., None]
        sky = sky * (1 - mask) + light * mask
    for level, phase, near, far in ((455.0, 0.4, "12305a", "3c7c86"), (515.0, 2.1, "0a1a30", "2f5f4a")):
        depth = y - _ridge(x, level, phase)
        bands = 0.5 + 0.3 * np.sin(depth / 9 + mood) + 0.2 * mood
        hill = ramp(bands, [(0, near), (0.7, far), (1, "d3b545")])
        mask = smooth(-2, 4, depth)[..., None]
        sky = sky * (1 - mask) + hill * mask
    return np.asarray(sky, dtype=np.float32)


def _pick(rng: np.random.Generator, colors: Array, points: Array) -> Array:
    chosen = read(colors, points[:, 0], points[:, 1])
    lift = rng.normal(0, 0.055, (len(points), 1))
    hue = rng.normal(0, 0.035, (len(points), 3))
    return np.clip(chosen * (1 + 1.6 * lift) + lift * 0.4 + hue, 0, 1).astype(np.float32)


def swirl() -> Image.Image:
    """Draw the night sky."""
    rng = np.random.default_rng(11)
    x, y = grid(WIDTH, HEIGHT, 1)
    flow, colors = _flow(rng, x, y), _colors(rng, x, y)
    shape = (HEIGHT, WIDTH)
    painting = Canvas((HEIGHT * SCALE, WIDTH * SCALE), (28, 52, 92))
    for spacing, width, steps, bristles in ((9.0, 13.0, 18, 8), (7.0, 8.0, 18, 6), (7.5, 5.0, 14, 4)):
        starts = scatter(rng, shape, spacing, 1.6)
        if width < 6:
            detail = np.abs(read(blur(colors.mean(axis=2), 6) - colors.mean(axis=2), starts[:, 0], starts[:, 1]))
            starts = starts[detail > np.quantile(detail, 0.45)]
        paths = follow(flow, starts, steps, width * 0.38)
        painting.stroke(rng, paths * SCALE, width * SCALE, _pick(rng, colors, starts), bristles)
    paint, thickness = painting.arrays()
    light = relief(blur(thickness, 1.0), 2.2)
    canvas = paint * light[..., None] + 0.10 * np.clip(light - 1.12, 0, 1)[..., None]
    return finish(canvas, WIDTH, HEIGHT)
