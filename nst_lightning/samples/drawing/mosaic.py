"""Style: a mosaic whose stones follow a sun, vines, and waves."""

import numpy as np
from PIL import Image

from nst_lightning.samples.drawing.canvas import blur, finish, grid, over, ramp, relief, smooth
from nst_lightning.samples.drawing.cells import cells, settle
from nst_lightning.samples.drawing.noise import Array, array, fractal, read
from nst_lightning.samples.drawing.strokes import scatter

WIDTH, HEIGHT, SCALE = 768, 576, 2
STONE = 10.5
DISCS = ((265.0, 235.0, 118.0), (575.0, 165.0, 74.0), (632.0, 440.0, 92.0), (70.0, 500.0, 66.0), (60.0, 60.0, 52.0))

SEA = (
    (0.0, "f0e4c4"),
    (0.08, "6db3ab"),
    (0.3, "1f6f86"),
    (0.55, "153d6b"),
    (0.72, "2a8a8c"),
    (0.86, "d9c48a"),
    (1.0, "f0e4c4"),
)
WARM = ((0.0, "7c1f17"), (0.14, "c8452a"), (0.36, "e08a2c"), (0.62, "efc257"), (0.85, "f7e8b6"), (1.0, "b23a22"))
COOL = ((0.0, "a8321f"), (0.2, "5a1f28"), (0.42, "8f2f22"), (0.66, "c8632c"), (0.85, "8f2f22"), (1.0, "f3dfa6"))


def _design(x: Array, y: Array) -> tuple[Array, Array]:
    """Return a distance whose level lines the stones follow, and the number of the motif."""
    distance = (y - 330 - 75 * np.sin(x / 112 + 0.4) - 20 * np.sin(x / 47)) * 0.72
    motif = np.zeros_like(x)
    for number, (cx, cy, radius) in enumerate(DISCS, 1):
        away = np.hypot(x - cx, y - cy) - radius
        near = away < 27
        distance = np.where(near, away, distance)
        motif = np.where(near, number, motif)
    return distance.astype(np.float32), motif.astype(np.float32)


def _disc(number: int, sites: Array, distance: Array) -> Array:
    """Return the colors of a disc: rays that turn as they go inward, and a rim."""
    cx, cy, radius = DISCS[number - 1]
    inward = np.clip(-distance / radius, -0.4, 1)
    turn = np.arctan2(sites[:, 1] - cy, sites[:, 0] - cx)
    rays = np.sin(turn * (8 if number > 1 else 12) + 5 * inward) > 0
    face = np.where(rays[:, None], ramp(inward, WARM), ramp(inward, COOL))
    rim = np.where((distance > 13)[:, None], (0.93, 0.87, 0.72), (0.10, 0.11, 0.19))
    return array(np.where((distance > 0)[:, None], rim, face))


def _paint(rng: np.random.Generator, sites: Array) -> Array:
    """Return the color of each stone."""
    distance, motif = _design(sites[:, 0], sites[:, 1])
    color = ramp((distance / 120 + 0.025 * rng.normal(size=len(sites))) % 1.0, SEA)
    for number in range(1, len(DISCS) + 1):
        color = np.where((motif == number)[:, None], _disc(number, sites, distance), color)
    jitter = rng.normal(0, 0.06, (len(sites), 1)) + rng.normal(0, 0.03, (len(sites), 3))
    return array(np.clip(color * (1 + 1.3 * jitter) + 0.35 * jitter, 0.03, 1))


def mosaic() -> Image.Image:
    """Draw the mosaic."""
    rng = np.random.default_rng(23)
    distance, _ = _design(*grid(WIDTH, HEIGHT, 1))
    down, across = np.gradient(blur(distance, 2))
    angle = np.arctan2(down, across).astype(np.float32)
    sites = settle((HEIGHT, WIDTH), scatter(rng, (HEIGHT, WIDTH), STONE, 0.9), angle, 7)
    turns = read(angle, *np.round(sites.T)) + rng.normal(0, 0.06, len(sites)).astype(np.float32)
    shape = (HEIGHT * SCALE, WIDTH * SCALE)
    divided = cells(shape, sites * SCALE, turns)
    rough = fractal(rng, shape, 26, 5, 0.65)
    gap = divided.border / SCALE - 0.85 - 0.22 * rough
    stone = smooth(-0.25, 0.35, gap)
    tilt = rng.normal(0, 0.05, (len(sites), 2)).astype(np.float32)[divided.nearest]
    x, y = grid(WIDTH, HEIGHT, SCALE)
    lean = (x - sites[divided.nearest, 0]) * tilt[..., 0] + (y - sites[divided.nearest, 1]) * tilt[..., 1]
    light = relief(blur(stone, 1.0) + 0.03 * rough, 1.5) + lean * 0.5 + 0.05 * rough
    face = _paint(rng, sites)[divided.nearest] * light[..., None]
    canvas = (
        np.zeros((*shape, 3), dtype=np.float32)
        + (0.60, 0.54, 0.45) * (0.82 + 0.13 * fractal(rng, shape, 9, 4))[..., None]
    )
    canvas = (canvas * (0.45 + 0.55 * smooth(0.2, -1.0, blur(stone, 2) - 0.6))[..., None]).astype(np.float32)
    over(canvas, stone, face)
    return finish(canvas * (1 + 0.05 * fractal(rng, shape, 300, 3))[..., None], WIDTH, HEIGHT)
