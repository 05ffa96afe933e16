"""Style: stained glass, a rose of glowing panes in dark leading."""

import numpy as np
from PIL import Image

from nst_lightning.samples.drawing.canvas import blur, finish, grid, over, ramp, relief, smooth
from nst_lightning.samples.drawing.cells import Cells, cells
from nst_lightning.samples.drawing.noise import Array, array, fractal, read

WIDTH, HEIGHT, SCALE = 768, 576, 2
CENTER = (300.0, 262.0)
PETALS = 12


def _rose(rng: np.random.Generator) -> tuple[Array, Array]:
    sites, hues = [CENTER], [0.12]
    for ring, radius in enumerate((30, 66, 108, 156, 210)):
        count = PETALS if ring < 2 else 2 * PETALS
        for i in range(count):
            turn = 2 * np.pi * (i + 0.5 * (ring % 2)) / count
            distance = radius + (9 if (i + ring) % 2 else -9) * (ring > 1)
            sites.append((CENTER[0] + distance * np.cos(turn), CENTER[1] + distance * np.sin(turn)))
            hues.append((0.1, 0.0, 0.55, 0.98, 0.62)[ring] + 0.1 * ((i + ring) % 2) + rng.normal(0, 0.02))
    for x, y in rng.random((2600, 2)) * (WIDTH + 80, HEIGHT + 80) - 40:
        apart = 17 + 17 * rng.random()
        if np.hypot(x - CENTER[0], y - CENTER[1]) > 242 and all(np.hypot(x - a, y - b) > apart for a, b in sites):
            sites.append((x, y))
            band = np.sin(x / 85 + 1.3 * np.sin(y / 95)) + 0.5 * np.sin(y / 60)
            hues.append((0.36 + 0.13 * band + rng.normal(0, 0.07)) % 1.0)
    return np.array(sites, dtype=np.float32), np.array(hues, dtype=np.float32) % 1.0


def _panes(rng: np.random.Generator, divided: Cells, hues: Array, x: Array, y: Array) -> Array:
    shape = x.shape
    turn = rng.random(len(hues)) * np.pi
    cosine, sine = (f(turn)[divided.nearest].astype(np.float32) for f in (np.cos, np.sin))
    along, beside = x * cosine + y * sine, y * cosine - x * sine
    streaks = read(fractal(rng, (1400, 400), 90, 6, 0.62), along % 380, beside % 1300 * 1.0)
    seeds = fractal(rng, shape, 7, 2)
    shade = rng.normal(0, 0.11, len(hues)).astype(np.float32)[divided.nearest]
    tone = ramp(
        hues[divided.nearest] + 0.03 * streaks,
        [
            (0.0, "d8261c"), (0.1, "f2a41f"), (0.2, "f6d94a"), (0.33, "2f9e57"), (0.45, "1b8f96"),
            (0.58, "1d55c4"), (0.72, "2a2aa6"), (0.84, "7a2a9c"), (0.93, "c2244e"), (1.0, "d8261c"), (1.1, "f2a41f"),
        ],
    )  # fmt: skip
    sun = np.exp(-(((x - 330) / 330) ** 2) - ((y - 190) / 270) ** 2)
    inner = smooth(0, 15, divided.border)
    bright = 0.50 + 0.5 * sun + 0.17 * inner + shade + 0.13 * streaks + 0.10 * (seeds > 1.9) - 0.07 * (seeds < -2.0)
    glow = np.clip(bright - 0.78, 0, 1)[..., None]
    return np.asarray(tone * np.clip(bright, 0.12, 1.15)[..., None] + glow * (0.75 * tone + 0.22), dtype=np.float32)


def _lead(rng: np.random.Generator, divided: Cells, x: Array, y: Array) -> tuple[Array, Array]:
    distance = np.hypot(x - CENTER[0], y - CENTER[1])
    width = 1.9 + 0.2 * fractal(rng, x.shape, 30, 3)
    gap = divided.border - width
    for radius in (48.0, 132.0, 238.0, 252.0):
        gap = np.minimum(gap, np.abs(distance - radius) - 2.9)
    gap = np.minimum(gap, np.minimum(np.minimum(x, WIDTH - x), np.minimum(y, HEIGHT - y)) - 5.0)
    dome = np.sqrt(np.clip(1 - ((gap + 3.2) / 3.2).clip(0, 1) ** 2, 0, 1)) + 0.06 * fractal(rng, x.shape, 6, 3)
    shine = relief(blur(dome, 1.0), 3.0)
    metal = (
        np.stack([0.115 * shine, 0.11 * shine, 0.125 * shine], axis=-1) + 0.32 * np.clip(shine - 1.2, 0, 1)[..., None]
    )
    return smooth(0.5, -0.5, gap), metal.astype(np.float32)


def glass() -> Image.Image:
    """Draw the window."""
    rng = np.random.default_rng(5)
    x, y = grid(WIDTH, HEIGHT, SCALE)
    sites, hues = _rose(rng)
    wobble = [x + 1.3 * fractal(rng, x.shape, 60, 2), y + 1.3 * fractal(rng, x.shape, 60, 2)]
    divided = cells(x.shape, sites * SCALE)
    divided = divided._replace(border=array(divided.border / SCALE))
    canvas = _panes(rng, divided, hues, *wobble)
    mask, metal = _lead(rng, divided, *wobble)
    canvas *= 1 - 0.5 * np.clip(blur(mask, 5) * 1.3, 0, 1)[..., None]
    halo = blur(canvas * (1 - mask[..., None]), 12)
    over(canvas, mask, metal)
    return finish(canvas + 0.16 * halo, WIDTH, HEIGHT)
