"""Content: a grumpy ginger cat, seen from the front."""

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.canvas import blur, finish, grid, over, ramp, smooth
from nst_lightning.samples.drawing.cat_face import eyes, mouth, nose, whiskers
from nst_lightning.samples.drawing.fur import comb, draw_fur
from nst_lightning.samples.drawing.noise import Array, array, fractal, read
from nst_lightning.samples.drawing.strokes import scatter

WIDTH, HEIGHT, SCALE = 640, 768, 2
MIDDLE, BROW, NOSE = 320.0, 335.0, 398.0
EYES = ((238.0, 326.0), (402.0, 326.0))


def _backdrop(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Paint a room out of focus: a window on the left, lamps, and shelves in the dark."""
    base = ramp(x / WIDTH + 0.12 * y / HEIGHT, [(0, "6f8f92"), (0.3, "3f6468"), (0.65, "21393f"), (1.1, "152328")])
    shelves = blur(smooth(0.2, 0.8, fractal(rng, x.shape, 150, 2, stretch=0.5)), 14)[..., None]
    base = base * (0.75 + 0.5 * shelves) + 0.05 * shelves * array([1.0, 0.5, 0.2])
    for _ in range(34):
        cx, cy, radius = rng.random() * WIDTH, rng.random() ** 1.3 * HEIGHT * 0.8, 10 + 26 * rng.random()
        away = np.hypot(x - cx, y - cy)
        disc = smooth(radius + 2, radius - 2, away) * (0.75 + 0.35 * smooth(radius * 0.6, radius, away))
        tone = array([[1.0, 0.72, 0.36], [0.95, 0.86, 0.62], [0.55, 0.80, 0.82]][int(rng.integers(3))])
        base = base + (0.05 + 0.20 * rng.random() ** 2) * disc[..., None] * tone
    return array(base)


def _head(x: Array, y: Array) -> Array:
    """Return how far a place lies out from the middle of the head: below 1 inside."""
    cheek = 178 + 24 * smooth(300, 420, y)
    tall = np.where(y < BROW, 168, 170)
    across, down = np.abs(x - MIDDLE) / cheek, np.abs(y - BROW) / tall
    return np.asarray((across**2.25 + down**2.25) ** (1 / 2.25), dtype=np.float32)


def _bump(x: Array, y: Array, cx: float, cy: float, wide: float, tall: float) -> Array:
    return np.asarray(np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / tall) ** 2), dtype=np.float32)


def _light(x: Array, y: Array) -> Array:
    """Return the light on the head: its roundness, brows, eye hollows, and muzzle."""
    height = 150 * np.sqrt(np.clip(1.06 - _head(x, y) ** 2, 0, 1))
    for side in (-1, 1):
        height += 58 * _bump(x, y, MIDDLE + side * 35, 444, 38, 30) - 17 * _bump(x, y, MIDDLE + side * 82, 326, 46, 36)
        height += 14 * _bump(x, y, MIDDLE + side * 72, 276, 52, 20) + 16 * _bump(x, y, MIDDLE + side * 140, 420, 46, 52)
    height += 30 * _bump(x, y, MIDDLE, 372, 30, 54) + 14 * _bump(x, y, MIDDLE, 484, 40, 24)
    height += 12 * np.cos((x - MIDDLE) / 17) * _bump(x, y, MIDDLE, 262, 46, 26)
    height = blur(height, 3)
    down, across = np.gradient(height)
    length = np.sqrt(1 + across**2 + down**2)
    lit = np.clip((0.52 * across + 0.46 * down + 0.72) / length + 0.22, 0, 1.25)
    hollow = np.clip((blur(height, 14) - height) / 16, -0.3, 0.6)
    return np.asarray(0.28 + 0.76 * lit - 0.42 * hollow, dtype=np.float32)


def _coat(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Return the color of the fur on the head: tabby stripes, and white about the mouth."""
    dx, dy = np.abs(x - MIDDLE), y - 392
    turn, away = np.arctan2(dx, -dy), np.hypot(dx, dy)
    warp = 0.35 * fractal(rng, x.shape, 70, 4)
    crown = np.cos(turn * 15.5 + 0.5 * warp) * smooth(0.78, 0.5, turn) * smooth(92, 128, away)
    cheek = np.sin(away / 10.5 + 3.2 * turn + 1.6 * warp) * smooth(0.95, 1.25, turn) * smooth(88, 130, away)
    brow = smooth(0.5, 0.75, turn) * smooth(1.2, 0.9, turn) * np.sin(away / 13 + 1.0 + warp) * smooth(110, 150, away)
    stripes = 0.55 + 0.30 * (crown + cheek + 0.7 * brow) + 0.10 * warp
    color = ramp(stripes, [(0.1, "7c3410"), (0.38, "b8601f"), (0.62, "dc9347"), (0.9, "f3c489")])
    muzzle = np.maximum(_bump(dx, y, 36, 446, 50, 40), _bump(x, y, MIDDLE, 492, 60, 34)) + 0.6 * _bump(
        x, y, MIDDLE, 410, 26, 44
    )
    rims = 0.75 * np.maximum(*(_bump(x, y, cx, cy + 8, 58, 44) for cx, cy in EYES))
    pale = np.maximum(smooth(0.35, 0.62, muzzle + 0.06 * warp), smooth(0.35, 0.75, rims) * 0.55)[..., None]
    return np.asarray(color * (1 - pale) + pale * array([0.97, 0.92, 0.85]), dtype=np.float32)


def _shade(rng: np.random.Generator, coat: Array, light: Array, roots: Array) -> Array:
    """Return the color of each hair: cool in the shade, warm in the light, no two alike."""
    color = read(coat, roots[:, 0], roots[:, 1])
    lit = read(light, roots[:, 0], roots[:, 1])[:, None] * (1 + rng.normal(0, 0.11, (len(roots), 1)))
    tint = array([0.86, 0.91, 1.04]) + np.clip(lit - 0.25, 0, 0.8) / 0.8 * array([0.18, 0.08, -0.09])
    return (np.clip(color * lit * tint, 0, 1)).astype(np.float32)


def _body(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: Array, y: Array) -> None:
    dx = x - MIDDLE
    edge = np.hypot(dx / 262, (y - 840) / 430)
    clumps = fractal(rng, x.shape, 46, 3, stretch=0.6)
    angle = (np.pi / 2 - 0.0021 * dx * smooth(760, 480, y) + 0.34 * clumps).astype(np.float32)
    length = 34 + 16 * smooth(560, 660, y)
    bib = smooth(118, 70, np.abs(dx + 9 * clumps) + 0.10 * (y - 500))[..., None]
    bars = 0.6 + 0.3 * np.sin(y / 15 + np.abs(dx) / 34 + 0.8 * clumps)
    coat = ramp(bars, [(0.2, "8a3d14"), (0.5, "c06c28"), (0.9, "eaae68")]) * (1 - bib) + bib * array([0.96, 0.91, 0.84])
    under = smooth(470, 640, y + 0.25 * np.abs(dx)) * 0.52 + 0.42
    light = (under * (1.04 - 0.0014 * dx + 0.14 * clumps) * (1 - 0.5 * smooth(0.80, 1.02, edge) * (dx > 0))).astype(
        np.float32
    )
    roots = scatter(rng, (HEIGHT + 20, WIDTH), 2.35, 1.5)
    roots = roots[read(edge.astype(np.float32), roots[:, 0], roots[:, 1]) < 1.0]
    roots = roots[(roots[:, 1] > 430)]
    roots = roots[np.argsort(-roots[:, 1] + rng.normal(0, 9, len(roots)))]
    draw_fur(draw, comb(rng, angle, length, roots), _shade(rng, coat.astype(np.float32), light, roots), SCALE, 3)


def _ear(draw: ImageDraw.ImageDraw, rng: np.random.Generator, side: int, shape: tuple[int, int]) -> None:
    corners = array([(MIDDLE + side * 186, 282), (MIDDLE + side * 172, 52), (MIDDLE + side * 34, 188)])
    weight = rng.dirichlet((1.0, 0.95, 1.0), 12000)
    belly = 4 * weight[:, 0:1] * weight[:, 1:2] * (side * 15.0, 2.0) + 4 * weight[:, 1:2] * weight[:, 2:3] * (
        -side * 6.0,
        -4.0,
    )
    roots = (weight @ corners + belly).astype(np.float32)
    rim = np.minimum(weight[:, 0] * 1.15, weight[:, 2])
    outward = np.arctan2(-1.0, side * 0.10)
    angle = np.full(shape, outward, dtype=np.float32)
    inner = rim > 0.10
    tone = np.where(inner[:, None], (0.86, 0.48, 0.42), (0.80, 0.46, 0.20)) * (0.58 + 0.55 * weight[:, 1:2])
    tone = tone * (np.where(inner, 0.72 + 1.1 * (0.3 - rim), 1.05)[:, None]) * (1.08 if side < 0 else 0.86)
    tone = tone * (1 + rng.normal(0, 0.10, (len(roots), 1)))
    order = np.argsort(roots[:, 1])
    length = np.full(shape, 13, dtype=np.float32)
    draw_fur(draw, comb(rng, angle, length, roots)[order], tone[order].astype(np.float32), SCALE, 3)
    tufts = roots[inner & (weight[:, 2] > 0.28) & (weight[:, 1] < 0.62)][:300]
    sweep = np.full(shape, np.arctan2(-0.75, side * 0.72), dtype=np.float32)
    pale = array([0.98, 0.84, 0.70]) * (0.66 + 0.30 * rng.random((len(tufts), 1)))
    draw_fur(draw, comb(rng, sweep, length * 4.0, tufts, 9), pale.astype(np.float32), SCALE, 2)


def _face(image: Image.Image, rng: np.random.Generator, x: Array, y: Array) -> None:
    coat, light = _coat(rng, x, y), _light(x, y)
    skin = finish(0.72 * coat * light[..., None], WIDTH, HEIGHT).resize(image.size)
    image.paste(skin, (0, 0), Image.fromarray((255 * (_head(x, y) < 0.97)).astype(np.uint8)).resize(image.size))
    dx, dy = x - MIDDLE, y - NOSE
    away = np.hypot(dx, dy)
    cheek = smooth(90, 190, np.abs(dx)) * smooth(330, 430, y)
    angle = np.arctan2(dy + 0.75 * away * cheek + 8, dx + 0.15 * away * np.sign(dx) * cheek)
    angle += 0.16 * fractal(rng, x.shape, 44, 3)
    length = 7 + 12 * smooth(60, 150, away) + 22 * cheek * smooth(0.7, 1.0, _head(x, y))
    roots = scatter(rng, (HEIGHT, WIDTH), 2.05, 1.4)
    outward = read(_head(x, y), roots[:, 0], roots[:, 1])
    roots = roots[outward < 0.985]
    order = np.hypot(roots[:, 0] - MIDDLE, roots[:, 1] - NOSE) + rng.normal(0, 5, len(roots))
    roots = roots[np.argsort(-order)]
    hairs = comb(rng, angle.astype(np.float32), length.astype(np.float32), roots)
    draw_fur(ImageDraw.Draw(image), hairs, _shade(rng, coat, light, roots), SCALE)


def _draw(room: Image.Image, rng: np.random.Generator) -> Array:
    """Return the cat in front of a room, before light falls off towards the corners."""
    x, y = grid(WIDTH, HEIGHT, 1)
    image = room.resize((WIDTH * SCALE, HEIGHT * SCALE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    _body(draw, rng, x, y)
    for side in (-1, 1):
        _ear(draw, rng, side, x.shape)
    _face(image, rng, x, y)
    canvas = np.asarray(image, dtype=np.float32) / 255.0
    fine_x, fine_y = grid(WIDTH, HEIGHT, SCALE)
    eyes(canvas, rng, fine_x, fine_y, EYES)
    nose(canvas, rng, fine_x, fine_y, (MIDDLE, NOSE))
    mouth(canvas, (MIDDLE, NOSE), SCALE)
    whiskers(canvas, rng, (MIDDLE, NOSE), SCALE)
    return canvas


def cat() -> Image.Image:
    """Draw the cat."""
    rng = np.random.default_rng(3)
    canvas = _draw(finish(_backdrop(rng, *grid(WIDTH, HEIGHT, 1)), WIDTH, HEIGHT), rng)
    fine_x, fine_y = grid(WIDTH, HEIGHT, SCALE)
    corner = smooth(300, 560, np.hypot(fine_x - MIDDLE, (fine_y - 370) * 0.9))
    over(canvas, 0.35 * corner, (0.04, 0.06, 0.07))
    return finish(canvas + 0.005 * fractal(rng, fine_x.shape, 3, 2)[..., None], WIDTH, HEIGHT)


def cat_mask() -> Image.Image:
    """Draw the mask of the cat: white where it is, black in the room."""
    canvases = []
    for brightness in (0, 255):
        rng = np.random.default_rng(3)
        _backdrop(rng, *grid(WIDTH, HEIGHT, 1))  # leaves the generator as it is when the cat is drawn
        canvases.append(_draw(Image.new("RGB", (WIDTH, HEIGHT), (brightness,) * 3), rng))
    # The brightness of the room shows through where the cat is not.
    opacity = 1 - (canvases[1] - canvases[0]).mean(axis=2)
    return Image.fromarray((255 * opacity.clip(0, 1)).round().astype(np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BOX
    )
