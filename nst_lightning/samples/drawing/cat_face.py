"""The features of the cat: eyes, nose, mouth, and whiskers."""

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.canvas import blur, over, ramp, smooth
from nst_lightning.samples.drawing.noise import Array, read, value_noise

Point = tuple[float, float]


def _lids(u: Array, v: Array) -> Array:
    """Return the distance into the opening of an eye: u runs toward the nose, v down."""
    ball = 43 - np.hypot(u * 0.94, v)
    upper = v - (-19 + 0.40 * u + 0.0035 * u * u)
    lower = (33 - 0.006 * u * u + 0.10 * u) - v
    return np.asarray(np.minimum(np.minimum(ball, upper * 0.92), lower), dtype=np.float32)


def _iris(rng: np.random.Generator, u: Array, v: Array) -> Array:
    """Paint the ball of an eye: fibers, a slit pupil, and the shadow of the lid."""
    away, turn = np.hypot(u, v - 2), np.arctan2(v - 2, u)
    fibers = value_noise(rng, (90, 720), (60.0, 5.0)) + 0.6 * value_noise(rng, (90, 720), (30.0, 2.5))
    fiber = read(fibers, (turn + np.pi) / (2 * np.pi) * 718, away * 1.6)
    color = ramp(
        away / 42 + 0.05 * fiber, [(0, "d9b23a"), (0.35, "d7c552"), (0.62, "9fae45"), (0.85, "56702f"), (1.0, "1c2412")]
    )
    color = color * (1 + 0.20 * fiber * smooth(42, 18, away))[..., None]
    pupil = smooth(1.06, 0.94, np.hypot(u / (11.5 - 0.002 * v * v), (v - 2) / 33))
    over(color, pupil, (0.015, 0.015, 0.02))
    lit = 0.86 + 0.30 * np.clip((v - 4) / 30, -0.5, 1)
    shade = smooth(-4, 17, _lids(u, v) + 0.1 * v)
    return np.asarray(color * (lit * (0.25 + 0.75 * shade))[..., None], dtype=np.float32)


def eyes(canvas: Array, rng: np.random.Generator, x: Array, y: Array, places: tuple[Point, ...]) -> None:
    """Paint both eyes, half shut by a frown.

    Args:
        canvas: Where to paint.
        rng: The source of chance.
        x: Column of each pixel, in pixels of the finished picture.
        y: Row of each pixel.
        places: The middles of the eyes, the left one first.
    """
    for side, (cx, cy) in zip((1, -1), places, strict=True):
        u, v = (x - cx) * side, y - cy
        opening = _lids(u, v)
        near = np.hypot(u, v) < 80
        over(canvas, 0.62 * smooth(-20, 1, opening) * near, (0.16, 0.07, 0.04))
        over(canvas, 0.97 * smooth(-4.6, -2.2, opening + 1.8 * smooth(0, 14, v)), (0.055, 0.035, 0.03))
        over(canvas, smooth(-0.6, 0.8, opening), _iris(rng, u, v))
        wet = smooth(3.2, 0.2, np.abs(opening - 1.5)) * smooth(4, 22, v)
        over(canvas, 0.45 * wet, (0.98, 0.86, 0.80))
        left = x - cx
        pane = np.maximum(np.abs(left + 13 + 0.15 * v) - 6.5, np.abs(v + 3) - 8) + 1.2
        bar = smooth(0.4, 1.2, np.abs(left + 13 + 0.15 * v)) * smooth(0.4, 1.2, np.abs(v + 3))
        over(canvas, 0.92 * smooth(1.0, -0.8, pane) * bar * smooth(0, 3, opening), (0.96, 0.98, 1.0))
        over(
            canvas,
            0.30 * smooth(1, 0, np.hypot((left - 15) / 12, (v - 17) / 8)) * smooth(0, 4, opening),
            (0.85, 0.9, 0.8),
        )


def nose(canvas: Array, rng: np.random.Generator, x: Array, y: Array, place: Point) -> None:
    """Paint the nose.

    Args:
        canvas: Where to paint.
        rng: The source of chance.
        x: Column of each pixel.
        y: Row of each pixel.
        place: The middle of the nose.
    """
    u, v = np.abs(x - place[0]), y - place[1]
    top = v + 13 - 0.006 * u * u
    body = np.minimum(top, (23 - u * 0.95 - np.maximum(v, -4) * 0.85) * 0.75)
    body = np.minimum(body, 15.5 - v)
    near = np.hypot(u, v) < 60
    over(canvas, 0.40 * smooth(-8, 1, body) * near, (0.22, 0.08, 0.06))
    pebbles = value_noise(rng, x.shape, (5.0, 5.0))
    tone = ramp(
        0.62 - v / 40 - (x - place[0]) / 130 + 0.07 * pebbles,
        [(0, "7a3a36"), (0.45, "b9685c"), (0.8, "dc978a"), (1.1, "f2c0b0")],
    )
    over(canvas, smooth(-0.8, 0.8, body), tone)
    hole = np.hypot((u - 12 + 0.35 * v) / 5.2, (v - 2.5 - 0.25 * u + 2) / 3.6)
    over(canvas, 0.92 * smooth(1.15, 0.8, hole), (0.13, 0.04, 0.04))
    shine = np.hypot((x - place[0] + 6) / 9, (v + 8) / 2.6)
    over(canvas, 0.55 * smooth(1.3, 0.2, shine), (1.0, 0.93, 0.90))


def _stroke(shape: tuple[int, int], lines: list[tuple[Array, float]], scale: int) -> Array:
    """Draw tapering lines and return them as a mask."""
    image = Image.new("L", (shape[1] * 2, shape[0] * 2))
    draw = ImageDraw.Draw(image)
    for points, width in lines:
        for i in range(len(points) - 1):
            thick = max(1, round(width * scale * 2 * (1 - 0.85 * i / len(points))))
            draw.line((points[i : i + 2] * scale * 2).ravel().tolist(), fill=255, width=thick)
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BOX), dtype=np.float32) / 255.0


def _curve(*points: Point) -> Array:
    """Return a smooth curve from four control points."""
    t = np.linspace(0, 1, 40)[:, None]
    a, b, c, d = (np.array(point) for point in points)
    return np.asarray(a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3, dtype=np.float32)


def mouth(canvas: Array, place: Point, scale: int) -> None:
    """Paint the mouth, its corners far down.

    Args:
        canvas: Where to paint.
        place: The middle of the nose.
        scale: How many times finer the canvas is.
    """
    x, y = place
    lines = [(_curve((x, y + 15), (x, y + 22), (x, y + 28), (x, y + 36)), 2.6)]
    for side in (-1, 1):
        corner = _curve((x, y + 34), (x + side * 22, y + 40), (x + side * 50, y + 46), (x + side * 66, y + 92))
        lines.append((corner, 4.2))
    mask = _stroke((canvas.shape[0], canvas.shape[1]), lines, scale)
    over(canvas, np.clip(blur(mask, 7) * 1.5, 0, 0.6), (0.24, 0.12, 0.09))
    over(canvas, np.clip(blur(mask, 1.2), 0, 1) * 0.92, (0.10, 0.04, 0.04))


def whiskers(canvas: Array, rng: np.random.Generator, place: Point, scale: int) -> None:
    """Paint the whiskers, and the dark spots they grow from.

    Args:
        canvas: Where to paint.
        rng: The source of chance.
        place: The middle of the nose.
        scale: How many times finer the canvas is.
    """
    lines, spots = [], []
    for side in (-1, 1):
        for row in range(3):
            for k in range(4):
                root = np.array([place[0] + side * (30 + 12 * k + 3 * row), place[1] + 27 + 12 * row + 1.5 * k])
                spots.append((np.stack([root, root + np.array([side * 2.0, 0.3])]).astype(np.float32), 2.4))
                reach, fall = 120 + 75 * rng.random(), (row - 1.0) * 42 + rng.normal(0, 10)
                end = (root[0] + side * reach * 1.25, root[1] + fall + 42)
                first, second = (
                    (root[0] + side * reach * 0.35, root[1] + 0.5 * fall - 18),
                    (root[0] + side * reach * 0.85, root[1] + 0.8 * fall - 8),
                )
                lines.append((_curve((root[0], root[1]), first, second, end), 1.5))
    shape = (canvas.shape[0], canvas.shape[1])
    over(canvas, 0.55 * _stroke(shape, spots, scale), (0.25, 0.12, 0.07))
    mask = _stroke(shape, lines, scale)
    over(canvas, 0.30 * np.roll(blur(mask, 1.5), (7, 3), axis=(0, 1)), (0.12, 0.06, 0.04))
    over(canvas, 0.90 * mask, (0.98, 0.96, 0.92))
