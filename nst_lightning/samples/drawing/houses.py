"""The houses and the quay of the harbour."""

import numpy as np

from nst_lightning.samples.drawing.canvas import hexcolor, over, polygon_mask, ramp, smooth
from nst_lightning.samples.drawing.noise import array, value_noise
from nst_lightning.samples.drawing.scene import SCALE, WIDTH, Scene, tint

QUAY, WATER = 352.0, 378.0
SUN = array([1.0, 0.93, 0.80])


def _window(scene: Scene, cx: float, top: float, width: float, height: float, shutter: str) -> None:
    rng = scene.rng
    left, right, bottom = cx - width / 2, cx + width / 2, top + height
    scene.box(left - 1.6, top - 1.6, right + 1.6, bottom + 1.2, hexcolor("e9dfca"))
    scene.box(left, top, right, bottom, hexcolor("26303a"))
    place = scene.window(left, top, right, bottom)
    fall = (scene.y[place] - top) / height
    sheen = np.clip(0.5 - fall + 0.35 * (scene.x[place] - cx) / width + rng.normal(0, 0.2), 0, 1)[..., None]
    scene.canvas[place] += sheen * array([0.42, 0.47, 0.50]) * 0.8
    if rng.random() < 0.28:
        scene.box(left, top, right, bottom, (0.98, 0.76, 0.40), 0.62)
    scene.box(left, top, right, top + 1.6, (0.05, 0.05, 0.06), 0.55)
    scene.box(cx - 0.5, top, cx + 0.5, bottom, hexcolor("d9cfba"))
    scene.box(left, top + height * 0.42, right, top + height * 0.42 + 0.9, hexcolor("d9cfba"))
    scene.box(left - 2.6, bottom + 0.6, right + 2.6, bottom + 2.6, hexcolor("d8ccb4"))
    scene.box(left - 2, bottom + 2.6, right + 3.4, bottom + 5.0, (0.08, 0.07, 0.09), 0.35)
    if rng.random() < 0.75:
        for edge in (left - 2 - width * 0.5, right + 2):
            _shutter(scene, edge, top, edge + width * 0.5, bottom, shutter)
    if rng.random() < 0.3:
        for _ in range(16):
            px, py = cx + rng.normal(0, width * 0.33), bottom + rng.normal(-0.5, 1.4)
            petal = ("d23c48", "e8a0b0", "3f7a3c", "4f8f45", "2f5f34")[int(rng.integers(5))]
            scene.box(px - 1, py - 1, px + 1, py + 1, hexcolor(petal))


def _shutter(scene: Scene, left: float, top: float, right: float, bottom: float, color: str) -> None:
    scene.box(left + 1, top + 1, right + 1.4, bottom + 1.4, (0.05, 0.05, 0.07), 0.4)
    scene.box(left, top, right, bottom, tint(color, 0.86 + 0.2 * scene.rng.random()))
    for slat in np.arange(top + 1.5, bottom - 1, 1.9).tolist():
        scene.box(left + 0.8, slat, right - 0.8, slat + 0.7, (0.03, 0.03, 0.04), 0.35)


def _roof(scene: Scene, left: float, right: float, eaves: float, rise: float) -> None:
    inset = 0.16 * (right - left)
    points = [(left - 3, eaves), (left + inset, eaves - rise), (right - inset, eaves - rise), (right + 3, eaves)]
    place = scene.window(left - 4, eaves - rise - 1, right + 4, eaves + 1)
    corner = np.array([place[1].start, place[0].start]) / SCALE
    mask = polygon_mask(scene.x[place].shape, np.array(points) - corner, SCALE)
    x, y = scene.x[place], scene.y[place]
    row = (y - eaves) / 3.4
    tile = (x / 3.6 + 0.5 * (np.floor(row) % 2)) % 1.0
    bump = 0.82 + 0.3 * np.sin(np.pi * tile) - 0.32 * smooth(0.7, 1.0, row % 1.0)
    chance = scene.rng.random((400, 400), dtype=np.float32)
    patch = chance[np.floor(row).astype(int) % 400, np.floor(x / 3.6).astype(int) % 400]
    tone = ramp(
        0.55 * patch + 0.12 * scene.stain[place] + 0.2,
        [(0, "6d3526"), (0.4, "a4553a"), (0.75, "c47a50"), (1, "8c7a60")],
    )
    light = bump * (1.1 - 0.35 * (x - left) / (right - left))
    over(scene.canvas[place], mask, tone * light[..., None] * SUN)
    scene.box(left + inset - 1, eaves - rise - 1.5, right - inset + 1, eaves - rise + 1.2, hexcolor("8d4a34"))


def _chimney(scene: Scene, x: float, foot: float) -> None:
    scene.box(x, foot - 20, x + 10, foot, hexcolor("a8654b"))
    scene.box(x + 6, foot - 20, x + 10, foot, (0.25, 0.13, 0.12), 0.6)
    scene.box(x - 1, foot - 22, x + 11, foot - 19, hexcolor("c9b7a0"))
    for pot in (1.5, 6.0):
        scene.box(x + pot, foot - 27, x + pot + 2.8, foot - 22, hexcolor("b4613f"))


def house(scene: Scene, plan: tuple[int, int, int, int, int, str, str]) -> None:
    """Paint a house: chimney, roof, wall, windows, and what is on the ground floor."""
    left, width, high, rise, floors, wall, shutter = plan
    right, eaves = left + width, QUAY - high
    _chimney(scene, left + width * (0.25 + 0.4 * scene.rng.random()), eaves - rise + 5)
    _roof(scene, left, right, eaves, rise)
    place = scene.window(left, eaves, right, QUAY)
    x, y = scene.x[place], scene.y[place]
    damp = smooth(45, 0, QUAY - y) * (0.65 + 0.35 * scene.stain[place])
    light = 1.10 - 0.24 * (x - left) / width - 0.20 * damp + 0.045 * scene.stain[place] + 0.035 * scene.fine[place]
    streak = smooth(0.6, 2.4, value_noise(scene.rng, x.shape, (400.0, 7.0)) * 3) * smooth(70, 0, y - eaves)
    light *= (1 - 0.16 * streak) * (1 - 0.5 * smooth(11, 1, y - eaves - 0.10 * (x - left)))
    scene.canvas[place] = array(hexcolor(wall)) * light[..., None] * SUN
    scene.box(left - 3, eaves - 2.2, right + 3, eaves + 1.6, hexcolor("d9c9ac"))
    scene.box(right - 1.6, eaves, right, QUAY, (0.1, 0.08, 0.09), 0.35)
    step = high / (floors + 0.12)
    columns = max(2, round(width / 29))
    for floor in range(floors - 1):
        for column in range(columns):
            cx = left + width * (column + 0.5) / columns
            _window(scene, cx, eaves + 11 + floor * step, 9.5, step * 0.52, shutter)
    _shop(scene, left, right, QUAY - step * 0.86, shutter)


def _opening(scene: Scene, cx: float, wide: float, top: float, sill: float, color: str) -> None:
    scene.box(cx - wide / 2 - 2, top + 4, cx + wide / 2 + 2, sill, hexcolor("e3d8c2"))
    scene.box(cx - wide / 2, top + 6, cx + wide / 2, sill - 1, tint(color, 0.8))


def _shop(scene: Scene, left: float, right: float, top: float, accent: str) -> None:
    """Paint the ground floor: a door at one end, and a lit shop window with its awning at the other."""
    at_left = scene.rng.random() < 0.5
    near, far = (left + 16, right - 18) if at_left else (right - 16, left + 18)
    _opening(scene, near, 11.0, top, QUAY, accent)
    _opening(scene, far, 24.0, top, QUAY - 9, "2a3038")
    place = scene.window(far - 12, top + 6, far + 12, QUAY - 10)
    warm = np.clip(0.75 - np.hypot(scene.x[place] - far, scene.y[place] - top - 9) / 28, 0, 1)
    scene.canvas[place] += warm[..., None] * array([1.0, 0.68, 0.32])
    scene.box(far - 15, top + 9, far + 17, top + 14, (0.05, 0.05, 0.08), 0.35)
    step = 32 / 7
    for k in range(7):
        edge = far - 16 + k * step
        points = [(edge + 1, top), (edge + step + 1, top), (edge + step, top + 9), (edge, top + 9)]
        scene.polygon(points, tint("efe6d4" if k % 2 else accent, 1.0 - 0.03 * k))


def quay(scene: Scene) -> None:
    """Paint the stone wall between the street and the water."""
    place = scene.window(0, QUAY - 3, WIDTH, WATER)
    x, y = scene.x[place], scene.y[place]
    row = np.floor((y - QUAY) / 6.5)
    offset = x / 15 + 0.37 * row + 0.25 * np.sin(row * 5 + np.floor(x / 60))
    joint = np.minimum(((y - QUAY) / 6.5) % 1.0 * 6.5, (offset % 1.0) * 15)
    chance = scene.rng.random((64, 97), dtype=np.float32)[row.astype(int) % 64, np.floor(offset).astype(int) % 97]
    tone = ramp(
        0.5 * chance + 0.1 * scene.fine[place] + 0.15 * scene.stain[place] + 0.3,
        [(0, "5d564f"), (0.6, "9a8f80"), (1, "c2b5a0")],
    )
    tone = tone * (1 - 0.5 * smooth(1.2, 0.3, joint) - 0.35 * smooth(WATER - 14, WATER, y))[..., None]
    weed = smooth(WATER - 9, WATER - 3, y + 2 * scene.fine[place])[..., None]
    scene.canvas[place] = tone * SUN * (1 - weed) + weed * array([0.16, 0.20, 0.13])
    scene.box(0, QUAY - 4, WIDTH, QUAY + 1.5, hexcolor("cdbfa6"))
    scene.box(0, QUAY + 1.5, WIDTH, QUAY + 4, (0.1, 0.09, 0.1), 0.45)
