"""Content: a bowl of fruit, a bottle, and a cloth, in the light of a window on the left."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nst_lightning.samples.drawing.canvas import blur, finish, over, ramp, smooth
from nst_lightning.samples.drawing.noise import Array, array, fractal, read
from nst_lightning.samples.drawing.solids import THINGS, Seen, march, normals, occlusion, shadow

WIDTH, HEIGHT, SCALE = 768, 576, 1.75
EYE = array([0.0, 3.0, -9.2])
PITCH, FOCUS = -0.172, 2.02
LAMP = array([-0.70, 0.62, -0.36])
WALL = 3.6


def _rays(columns: int, rows: int) -> Array:
    x = (np.arange(columns, dtype=np.float32) + 0.5 - columns / 2) / (columns / 2)
    y = (rows / 2 - np.arange(rows, dtype=np.float32) - 0.5) / (columns / 2)
    across, up = np.meshgrid(x, y)
    ahead = np.full_like(across, FOCUS)
    up, ahead = up * np.cos(PITCH) + ahead * np.sin(PITCH), ahead * np.cos(PITCH) - up * np.sin(PITCH)
    rays = np.stack([across, up, ahead], axis=-1).reshape(-1, 3)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True), dtype=np.float32)


def _folds(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the height of the cloth over the table, and how much cloth there is."""
    z, x = np.mgrid[:500, :900].astype(np.float32)
    x, z = x / 60 - 7.5, z / 60 - 4.5
    warp = 0.55 * fractal(rng, x.shape, 160, 3)
    run = 0.75 * x - 1.1 * z + warp
    height = 0.24 * np.abs(np.sin(run * 1.25 + 0.4 * np.sin(x * 1.1))) ** 1.6 + 0.07 * np.sin(run * 2.6 + x)
    edge = -x * 0.55 + 0.9 - z * 0.9 + 0.15 * np.sin(x * 2.0) + 0.12 * warp
    cloth = smooth(-0.02, 0.02, edge)
    return (height * smooth(0.0, 1.2, edge) + 0.05) * cloth, cloth


def _table(rng: np.random.Generator, place: Array) -> tuple[Array, Array]:
    """Return the color of the table and its cloth, and which way they face."""
    folds, cloth = _folds(rng)
    x, z = place[:, 0], place[:, 2]
    column, row = array((x + 7.5) * 60), array((z + 4.5) * 60)
    grain = fractal(rng, (500, 900), 26, 5, 0.65, stretch=14)
    bend = read(fractal(rng, (500, 900), 120, 3, stretch=5), column, row)
    ring = read(grain, column, row) + 0.7 * np.sin(z * 9 + 2.2 * bend)
    seam = smooth(0.02, 0.0, np.abs((z + 0.35) % 1.5 - 0.75))[:, None]
    wood = ramp(0.5 + 0.2 * ring, [(0, "3a2115"), (0.45, "6d4327"), (0.8, "94643b"), (1, "b07f4d")]) * (1 - 0.6 * seam)
    weave = 0.04 * np.sin(x * 120) * np.sin(z * 120) + 0.03 * read(fractal(rng, (500, 900), 3, 2), column, row)
    lane = (0.75 * x + 0.9 * z) % 1.15
    blue = smooth(0.50, 0.52, lane) * smooth(0.80, 0.78, lane) + smooth(0.90, 0.91, lane) * smooth(0.96, 0.95, lane)
    linen = array([0.90, 0.86, 0.78]) * (1 - 0.88 * blue[:, None]) + 0.88 * blue[:, None] * array([0.16, 0.29, 0.50])
    mask = array(read(cloth, column, row))[:, None]
    color = wood * (1 - mask) + linen * (1 + weave[:, None]) * mask
    across, down = (array(np.gradient(blur(folds, 1.5), 1 / 60, axis=axis)) for axis in (1, 0))
    facing = np.stack([-read(across, column, row), np.ones_like(x), -read(down, column, row)], axis=1)
    return color, facing / np.linalg.norm(facing, axis=1, keepdims=True)


def _wall(rng: np.random.Generator, place: Array) -> Array:
    """Return the color of the wall: old plaster, lit through a window."""
    column, row = (place[:, 0] + 8) * 60, (8 - place[:, 1]) * 60
    stain = read(fractal(rng, (620, 960), 170, 7, 0.6), column, row)
    color = ramp(0.5 + 0.16 * stain, [(0, "3b4038"), (0.5, "5c6254"), (1, "868a74")])
    beam = place[:, 1] - 2.1 - 0.62 * (place[:, 0] + 2.2)
    light = (
        0.42
        + 0.65 * np.exp(-(((place[:, 0] - 0.6) / 3.6) ** 2) - ((place[:, 1] - 2.6) / 2.6) ** 2)
        + 0.16 * smooth(0.9, -0.9, beam)
    )
    return np.asarray(color * light[:, None], dtype=np.float32)


def _tone(kind: str, local: Array, facing: Array, mottle: Array, fine: Array) -> Array:
    """Return where on its gradient of colors each place of a thing lies."""
    up, turn = local[:, 1], np.arctan2(local[:, 2], local[:, 0])
    tone = 0.5 + 0.16 * mottle + 0.05 * fine
    if kind == "apple":
        blush, streaks = 0.22 * np.sin(turn * 2 + 2), 0.10 * np.sin(turn * 23 + 3 * mottle)
        tone = tone + blush + streaks - 0.35 * smooth(0.45, 0.95, up)
    if kind == "bowl":
        wave = np.abs(up + 0.48 - 0.05 * np.sin(turn * 14))
        band = smooth(0.08, 0.05, np.abs(up + 0.30)) + smooth(0.04, 0.02, wave)
        tone = np.where(band > 0.5, 0.05, tone * 0.3 + 0.5)
    if kind == "bottle":
        inside = smooth(0.0, 0.75, facing[:, 0]) * smooth(5.4, 0.6, up)
        tone = 0.10 + 0.06 * mottle + 0.75 * inside + 0.5 * smooth(0.15, 0.0, up)
    if kind == "pear":
        tone = tone + 0.25 * smooth(-0.4, 0.6, facing[:, 0]) + 0.12 * (fine > 1.4)
    return array(tone)


def _skin(rng: np.random.Generator, place: Array, thing: NDArray[np.int32], facing: Array) -> tuple[Array, Array]:
    """Return the color and the gloss of the things on the table."""
    noise = fractal(rng, (600, 600), 70, 6, 0.6)
    u, v = place[:, 0] * 90 + place[:, 2] * 37, place[:, 1] * 90 + place[:, 2] * 53
    mottle, fine = read(noise, u % 598, v % 598), read(noise, (u * 5) % 598, (v * 5) % 598)
    color, gloss = np.zeros_like(place), np.zeros(len(place), dtype=np.float32)
    for number, item in enumerate(THINGS):
        here = thing == number
        if not here.any():
            continue
        local = place[here] - array(item.center)
        tone = _tone(item.kind, local / item.size, facing[here], mottle[here], fine[here])
        color[here], gloss[here] = ramp(tone, item.colors), item.gloss
    return color, gloss


def _shine(facing: Array, ray: Array, gloss: Array, lit: Array) -> Array:
    """Return the window and the room mirrored in glossy skins."""
    bounce = ray - 2 * (ray * facing).sum(axis=1, keepdims=True) * facing
    rim = 0.04 + 0.96 * (1 - np.clip(-(ray * facing).sum(axis=1), 0, 1)) ** 5
    sun = np.clip(bounce @ (LAMP / np.linalg.norm(LAMP)), 0, 1)
    pane = smooth(0.955, 0.972, sun) * 0.55 + 0.32 * sun**28
    room = 0.26 * smooth(-0.1, 0.9, bounce[:, 1]) + 0.30 * smooth(0.2, 0.9, -bounce[:, 0])
    value = gloss * (pane * (0.25 + 0.75 * lit) + rim * room)
    return np.asarray(value[:, None] * array([1.0, 0.96, 0.88]), dtype=np.float32)


def _paint(rng: np.random.Generator, scene: Seen, rays: Array) -> Array:
    place, thing = scene
    color, facing = np.zeros_like(place), np.tile(array([0, 0, -1]), (len(place), 1))
    solid, table, wall = thing >= 0, thing == -1, thing == -2
    facing[solid] = normals(place[solid], thing[solid])
    color[table], facing[table] = _table(rng, place[table])
    gloss = np.where(table, 0.10, 0.0).astype(np.float32)
    color[solid], gloss[solid] = _skin(rng, place[solid], thing[solid], facing[solid])
    sun = LAMP / np.linalg.norm(LAMP)
    lit = np.clip(facing @ sun * 0.92 + 0.08, 0, 1)
    near = ~wall
    clear, open_ = np.ones(len(place), dtype=np.float32), np.ones(len(place), dtype=np.float32)
    clear[near] = shadow(place[near] + 0.02 * facing[near], sun)
    open_[near] = occlusion(place[near], facing[near])
    lit = lit * clear
    sky = (0.5 + 0.5 * facing[:, 1]) * open_
    bounce = np.clip(0.5 - 0.5 * facing[:, 1], 0, 1) * open_ * smooth(1.6, 0.0, place[:, 1])
    light = 1.38 * lit[:, None] * array([1.0, 0.92, 0.78]) + sky[:, None] * array([0.20, 0.23, 0.28])
    light = light + bounce[:, None] * array([0.24, 0.17, 0.11]) + 0.05 * open_[:, None]
    shaded = color * light + _shine(facing, rays, gloss, lit) * (0.35 + 0.65 * open_[:, None])
    through = (color * smooth(0.3, 0.9, color[:, 1:2] * 2.2))[thing == 1]
    shaded[thing == 1] += 0.75 * through
    shaded[wall] = _wall(rng, place[wall])
    return np.asarray(shaded, dtype=np.float32)


def still_life() -> Image.Image:
    """Draw the still life."""
    rng = np.random.default_rng(53)
    columns, rows = int(WIDTH * SCALE), int(HEIGHT * SCALE)
    rays = _rays(columns, rows)
    scene = march(EYE, rays, WALL)
    canvas = _paint(rng, scene, rays).reshape(rows, columns, 3)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    canvas = canvas + 0.35 * blur(np.clip(canvas - 0.85, 0, 1), 9)
    canvas = 1.06 * canvas / (0.80 + 0.32 * canvas)
    over(canvas, 0.42 * smooth(0.75, 1.5, np.hypot(x + 0.1, y)), (0.03, 0.025, 0.03))
    return finish(canvas + 0.006 * fractal(rng, (rows, columns), 3, 2)[..., None], WIDTH, HEIGHT)
