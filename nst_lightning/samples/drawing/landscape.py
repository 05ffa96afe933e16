"""Content: mountains over a lake, with firs and clouds."""

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.canvas import blur, finish, grid, over, ramp, smooth
from nst_lightning.samples.drawing.fur import comb, draw_fur
from nst_lightning.samples.drawing.noise import Array, array, fractal, read
from nst_lightning.samples.drawing.terrain import CELL, REACH, View, heights, look, sunlight

WIDTH, HEIGHT, SCALE = 768, 512, 2
EYE, HORIZON, FOCUS = 42.0, 285.0 * SCALE, 800.0 * SCALE
# Each fir in front: column of its foot, height, brightness.
FIRS = (
    (724, 300, 0.75),
    (40, 250, 0.72),
    (668, 205, 0.85),
    (98, 168, 0.82),
    (756, 220, 0.7),
    (4, 330, 0.66),
    (614, 130, 0.9),
)

SUN = (-0.88, 0.46, 0.12)


def _sky(rng: np.random.Generator, x: Array, y: Array) -> Array:
    base = ramp(y / 290, [(0, "3f78b8"), (0.5, "86b2d8"), (0.85, "d3dfe2"), (1, "ead9c2")])
    plane = 5200 / (y + 46)
    billow = fractal(rng, (700, 1900), 110, 7, 0.56)
    column, row = (x - WIDTH / 2) * plane / 46 + 950, plane * 5.2
    thick, soft = read(billow, column, row), blur(billow, 9)
    body = smooth(-0.45, 0.9, thick + 0.15 * np.sin(x / 150))
    lit = np.clip(0.72 + 0.9 * (thick - read(soft, column - 12, row + 3)), 0, 1)
    over(base, body * smooth(300, 200, y) * 0.95, ramp(lit, [(0, "8d9bb0"), (0.5, "d8d9da"), (0.85, "fffaf0")]))
    return base


def _ground(rng: np.random.Generator, height: Array) -> Array:
    """Return the color of the terrain in full daylight, light included."""
    light, level = sunlight(height, SUN)
    patches = fractal(rng, height.shape, 60, 6, 0.6)
    fine = fractal(rng, height.shape, 9, 4, 0.75)
    rock = ramp(
        0.5 + 0.16 * patches + 0.12 * fine + 0.10 * np.sin(height / 13 + patches),
        [(0, "4f4a48"), (0.5, "857a70"), (1, "b3a690")],
    )
    grass = ramp(0.5 + 0.25 * patches + 0.12 * fine, [(0, "33492a"), (0.5, "5d7038"), (1, "93904c")])
    woods = ramp(0.45 + 0.30 * fine + 0.08 * patches, [(0, "0f1f18"), (0.5, "22402a"), (1, "4a6636")])
    color = grass
    over(
        color,
        smooth(0.2, -0.5, patches - 0.006 * (190 - height) + 0.4 * fine)
        * smooth(330, 250, height + 30 * fine)
        * smooth(3, 10, height),
        woods,
    )
    over(color, np.maximum(smooth(210, 330, height + 30 * patches), smooth(0.80, 0.66, level + 0.03 * fine)), rock)
    snow = smooth(330, 480, height + 45 * patches + 240 * (level - 0.72) + 16 * fine)
    over(color, snow, (0.97, 0.98, 1.0))
    over(color, smooth(4.5, 0.5, height), (0.55, 0.51, 0.42))
    shine = light[..., None] * array([1.42, 1.23, 0.97]) + array([0.19, 0.25, 0.37]) * (0.6 + 0.5 * level)[..., None]
    return np.asarray(color * shine * (1 + 0.06 * fine)[..., None], dtype=np.float32)


def _haze(color: Array, depth: Array, base: Array) -> None:
    over(color, np.clip(1 - np.exp(-np.maximum(depth - 350, 0) / 6000), 0, 1), base)


def _land(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, View, Array]:
    """Return the picture without the water, what each pixel sees, and the height there."""
    height = heights(rng)
    view = look(height, (x.shape[0], x.shape[1]), EYE, HORIZON, FOCUS)
    canvas = _sky(rng, x, y)
    land = view.z < 1e5
    column, row = (view.x[land] + REACH / 2) / CELL, view.z[land] / CELL
    detail = fractal(rng, x.shape, 9, 4, 0.75)[land]
    color = read(_ground(rng, height), column, row) * (1 + 0.085 * detail[:, None])
    _haze(color, view.z[land], array([0.66, 0.76, 0.87]))
    canvas[land] = color
    level = np.full(x.shape, 1e3, dtype=np.float32)
    level[land] = read(height, column, row)
    return canvas, view, level


def _fir(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, foot: tuple[float, float], tall: float, tone: float
) -> None:
    """Draw a fir of drooping boughs, lit from the left."""
    x, y = foot[0] * SCALE, foot[1] * SCALE
    size = tall * SCALE
    draw.line((x, y, x, y - size), fill=tuple(int(v * tone) for v in (62, 48, 38)), width=max(1, int(size * 0.022)))
    tiers = int(6 + tall / 11)
    for tier in range(tiers):
        part = tier / tiers
        top = y - size * (0.06 + 0.94 * part)
        reach = size * 0.20 * (1 - part) ** 0.8 * (0.66 + 0.5 * rng.random()) + 1.5
        count = int(8 + tall / 7)
        for k in rng.permutation(count).tolist():
            u = (-1 + 2 * k / (count - 1)) * (0.72 + 0.5 * rng.random())
            light = tone * (0.70 - 0.42 * u + rng.normal(0, 0.13)) * (0.75 + 0.35 * part)
            fill = tuple(min(255, max(0, int(v * light))) for v in (78, 104, 62))
            droop = size * (0.02 + 0.075 * rng.random()) * (1 + 0.5 * abs(u))
            tip = (x + u * reach, top + droop)
            draw.line((x + 0.2 * u * reach, top - droop * 0.3, *tip), fill=fill, width=max(1, int(size * 0.011)))
            for _ in range(int(tall > 60) * 5 + int(tall > 25)):
                t = 0.35 + 0.65 * rng.random()
                px, py = x + u * reach * t, top - droop * 0.3 + droop * 1.3 * t
                draw.line((px, py, px + u * 5 + rng.normal(0, 2), py + 3 + 6 * rng.random()), fill=fill, width=2)


def _shore_firs(canvas: Array, rng: np.random.Generator, view: View, level: Array) -> Array:
    """Plant firs where low ground is seen, the farthest first, and return the canvas."""
    image = finish(canvas, canvas.shape[1], canvas.shape[0])
    draw = ImageDraw.Draw(image)
    rows, columns = np.nonzero((level > 4) & (level < 120) & (view.z > 420) & (view.z < 2300))
    order = rng.permutation(len(rows))[:2600]
    groves = read(fractal(rng, (200, 200), 30, 3), view.x[rows, columns] / 18 + 100, view.z[rows, columns] / 18)
    order = order[groves[order] > -0.15]
    order = order[np.argsort(-view.z[rows[order], columns[order]])]
    for r, c in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        tall = (11 + 17 * rng.random() ** 1.5) * FOCUS / SCALE / view.z[r, c]
        _fir(draw, rng, (c / SCALE, r / SCALE), tall, 0.62 + 0.25 * min(1.0, view.z[r, c] / 1600))
    return np.asarray(image, dtype=np.float32) / 255.0


def _lake(canvas: Array, rng: np.random.Generator, x: Array, y: Array, water: Array) -> None:
    """Fill the lake with the mirrored land, broken by ripples."""
    near = np.clip((y * SCALE - HORIZON) / (HEIGHT * SCALE - HORIZON), 0.001, 1)
    column, row = (x - WIDTH / 2) / (0.28 + near) + 1500, 300 * np.log(0.03 + near) + 1080
    waves = np.zeros_like(x)
    for size, weight, stretch in ((40.0, 0.8, 6.0), (13.0, 0.7, 5.0), (5.0, 0.4, 4.0)):
        waves += weight * read(fractal(rng, (1130, 3000), size, 2, stretch=stretch), column, row)
    calm = smooth(-0.6, 0.9, read(fractal(rng, (300, 600), 70, 3, stretch=4), x / WIDTH * 598, near * 298))
    slope = waves * (1.0 + 8 * near) * (0.25 + 0.75 * calm)
    seen = read(canvas, x * SCALE + 0.4 * slope, 2 * HORIZON - y * SCALE + 26 + slope * SCALE)
    clear = np.clip(0.84 - 0.40 * near**0.8 + 0.05 * waves * calm, 0.2, 0.93)[..., None]
    deep = ramp(near, [(0, "5f8a92"), (0.4, "23555f"), (1, "0f333b")])
    glint = (0.10 * smooth(1.0, 2.2, waves) * calm)[..., None]
    over(canvas, water, seen * clear * 0.94 + deep * (1 - clear) + glint)


def _bank(x: Array) -> Array:
    """Return the row where the near bank begins, at each column."""
    side = 0.00026 * (x - 360) ** 2 * smooth(0, 200, np.abs(x - 360))
    return array(474 - side + 5 * np.sin(x / 37) + 4 * np.sin(x / 13))


def _grass(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> Array:
    """Draw the grass of the near bank, the farthest first, and return where it grows."""
    shape = (HEIGHT + 64, WIDTH)
    starts = rng.random((17000, 2)).astype(np.float32)
    starts[:, 0] *= WIDTH
    bank = _bank(starts[:, 0])
    starts[:, 1] = bank + starts[:, 1] * (HEIGHT + 18 - bank)
    starts = starts[np.argsort(starts[:, 1])]
    mood = fractal(rng, shape, 60, 4)
    tone = 0.42 + 0.16 * read(mood, starts[:, 0], starts[:, 1]) + rng.normal(0, 0.12, len(starts))
    color = ramp(tone, [(0, "1f2f16"), (0.4, "4d6426"), (0.75, "8f8f3c"), (1, "cdbb6c")])
    depth = np.clip((starts[:, 1:] - 440) / 90, 0, 1)
    blades = comb(rng, array(0.4 * mood - np.pi / 2), np.full(shape, 15.0, dtype=np.float32), starts)
    draw_fur(draw, blades, array(color * (0.95 - 0.35 * depth)), SCALE, 3)
    return starts


def _meadow(canvas: Array, rng: np.random.Generator) -> Array:
    """Grow tall firs, grass, and flowers in front, and return the canvas."""
    image = finish(canvas, canvas.shape[1], canvas.shape[0])
    draw = ImageDraw.Draw(image)
    for foot, tall, tone in FIRS:
        _fir(draw, rng, (foot, 492 + 10 * rng.random()), tall, tone)
    starts = _grass(draw, rng)
    for px, py in (starts[rng.permutation(len(starts))[:230]] - (0, 12)).tolist():
        r = (1.5 + 2.2 * rng.random()) / SCALE
        fill = ((236, 226, 200), (226, 178, 58), (190, 84, 120), (120, 110, 190))[int(rng.integers(4))]
        draw.ellipse([v * SCALE for v in (px - r, py - r * 0.8, px + r, py + r * 0.8)], fill=fill)
    return np.asarray(image, dtype=np.float32) / 255.0


def landscape() -> Image.Image:
    """Draw the landscape."""
    rng = np.random.default_rng(107)
    x, y = grid(WIDTH, HEIGHT, SCALE)
    canvas, view, level = _land(rng, x, y)
    water = ((level < 0.3) & (view.z < 1e5)).astype(np.float32)
    canvas = _shore_firs(canvas, rng, view, level).copy()
    _lake(canvas, rng, x, y, blur(water, 0.7) * (y * SCALE > HORIZON))
    canvas = _meadow(canvas, rng)
    glow = 0.16 * np.exp(-np.hypot((x - 40) / 420, (y - 190) / 190))[..., None] * array([1.0, 0.80, 0.52])
    canvas = canvas + glow + 0.3 * blur(np.clip(canvas - 0.8, 0, 1), 14)
    canvas = canvas * (1.10 - 0.10 * canvas) + 0.005 * fractal(rng, x.shape, 3, 2)[..., None]
    return finish(canvas, WIDTH, HEIGHT)
