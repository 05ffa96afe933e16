"""Content: a harbour in the evening sun, houses on a quay, boats, and their reflections."""

import numpy as np
from PIL import Image

from nst_lightning.samples.drawing.boats import Boat, Sprite, boat, lay
from nst_lightning.samples.drawing.canvas import blur, finish, hexcolor, over, ramp, smooth
from nst_lightning.samples.drawing.houses import QUAY, WATER, house, quay
from nst_lightning.samples.drawing.noise import Array, array, fractal, read, value_noise
from nst_lightning.samples.drawing.scene import HEIGHT, SCALE, WIDTH, Scene

# Each house: left edge, width, height of the eaves, height of the roof, floors, color, color of the shutters.
HOUSES = (
    (-22, 84, 128, 40, 3, "c9a27a", "4a5f55"),
    (62, 70, 168, 34, 4, "d8b45f", "2f5d50"),
    (132, 92, 134, 52, 3, "b9573f", "e7dcc4"),
    (224, 62, 186, 38, 4, "e4d6b8", "31557a"),
    (286, 84, 146, 46, 3, "7f9aa6", "efe6d2"),
    (370, 70, 176, 36, 4, "cf8559", "3d5a4a"),
    (440, 96, 122, 50, 2, "e6dcc6", "8e3b2e"),
    (536, 64, 172, 40, 4, "a9483a", "e8dcc0"),
    (600, 78, 144, 44, 3, "d9c07c", "35604f"),
    (678, 112, 162, 52, 4, "b7b9a8", "4f5d78"),
)


FLEET = (
    Boat(575, 388, 92, "e9e4d6", "2d5a7c", 120, False),
    Boat(78, 392, 104, "2f4f6f", "d9c9a2", 132, True),
    Boat(395, 396, 84, "8f2f28", "efe6d2", 0, True),
    Boat(664, 424, 150, "efe9da", "a8322a", 205, True),
    Boat(228, 446, 178, "1f5a5e", "e8d9a8", 238, False),
    Boat(468, 486, 118, "b9803f", "f0e6cf", 0, False),
)


def _sky(scene: Scene) -> None:
    x, y = scene.x, scene.y
    base = ramp(y / 300, [(0, "5f8fc0"), (0.45, "9dbcd2"), (0.8, "ecd9b8"), (1, "f5d3a0")])
    lift = 1 + 0.8 * y / 300
    puff = read(
        fractal(scene.rng, scene.shape, 360, 7, 0.55, stretch=1.9), x * SCALE, np.minimum(y * lift, 570) * SCALE
    )
    body = smooth(-0.1, 1.5, puff + 0.35)
    lit = np.clip(0.6 + 2.6 * (puff - read(blur(puff, 8), x * SCALE - 16, y * SCALE - 14)), 0, 1)
    cloud = ramp(lit, [(0, "8f97ac"), (0.45, "d9cfc8"), (0.8, "fdf0da"), (1, "fff8ea")])
    scene.canvas += base
    over(scene.canvas, 0.92 * body, cloud)
    glow = np.exp(-np.hypot((x - 90) / 320, (y - 300) / 170))
    scene.canvas += 0.30 * glow[..., None] * array([1.0, 0.75, 0.42])


def _hills(scene: Scene) -> None:
    for level, rise, tone in ((236.0, 34.0, "8fa3b5"), (262.0, 26.0, "71897f")):
        profile = level - rise * value_noise(scene.rng, (1, scene.shape[1]), (1.0, 260.0 * SCALE))
        rough = 1.2 * fractal(scene.rng, (4, scene.shape[1]), 20, 4)[:1]
        mask = smooth(-0.7, 0.7, scene.y - profile - rough)
        shade = array(hexcolor(tone)) * (1 + 0.05 * scene.stain + 0.05 * scene.fine)[..., None]
        over(scene.canvas, mask, shade + 0.10 * smooth(200, 330, scene.y)[..., None])


def _people(scene: Scene) -> None:
    """Put passers-by, lamps, and crates on the quay."""
    rng = scene.rng
    for x in (48.0, 205.0, 362.0, 522.0, 690.0):
        scene.box(x, QUAY - 44, x + 1.8, QUAY - 3, (0.13, 0.15, 0.15))
        scene.box(x - 2.2, QUAY - 52, x + 4, QUAY - 44, (0.99, 0.88, 0.62))
        scene.box(x - 3, QUAY - 54, x + 4.8, QUAY - 51.5, (0.13, 0.15, 0.15))
    for _ in range(21):
        x, tall = rng.random() * WIDTH, 15 + 3 * rng.random()
        coat = ("37415a", "7a2f2a", "d8cdb6", "4f5f4a", "20242c", "b98a4a")[int(rng.integers(6))]
        foot = QUAY - 1 - 2 * rng.random()
        scene.box(x - 1.7, foot - tall * 0.45, x + 1.7, foot, (0.12, 0.12, 0.15))
        scene.polygon(
            [
                (x - 2.3, foot - tall * 0.38),
                (x - 1.8, foot - tall * 0.82),
                (x + 1.8, foot - tall * 0.82),
                (x + 2.4, foot - tall * 0.38),
            ],
            hexcolor(coat),
        )
        scene.box(x - 1.2, foot - tall, x + 1.2, foot - tall * 0.82, hexcolor("c99a78"))
        scene.box(x + 1, foot - 1.0, x + 9, foot + 0.4, (0.1, 0.09, 0.1), 0.35)


def _mirror(scene: Scene, sprites: list[Sprite]) -> Array:
    """Return the world upside down, as still water would show it."""
    middle = int(WATER * SCALE)
    mirrored = scene.canvas.copy()
    depth = scene.shape[0] - middle
    mirrored[middle:] = scene.canvas[middle - depth : middle][::-1]
    for sprite in sprites:
        lay(mirrored, sprite, flipped=True)
    return mirrored


def _water(scene: Scene, mirrored: Array) -> None:
    """Paint the water: the mirrored world, broken by ripples, over the green of the deep."""
    place = scene.window(0, WATER, WIDTH, HEIGHT)
    x, y = scene.x[place], scene.y[place]
    near = (y - WATER) / (HEIGHT - WATER)
    spread = 1.1 / (0.35 + 0.65 * near)
    column, row = (x - WIDTH / 2) * spread + 1300, 220 * np.log(0.06 + near) + 640
    waves = np.zeros_like(x)
    for size, weight, stretch in ((34.0, 1.0, 4.5), (14.0, 0.8, 3.5), (6.0, 0.5, 3.0)):
        sheet = fractal(scene.rng, (700, 2600), size, 2, 0.5, stretch=stretch)
        waves += weight * read(sheet, column, row)
    slope = waves * (1.5 + 8.5 * near)
    seen = read(mirrored, x * SCALE + 0.22 * slope * SCALE, (y + slope - 1.5 - 5 * near) * SCALE)
    deep = array([0.10, 0.23, 0.26]) * (1.05 - 0.4 * near)[..., None]
    clear = np.clip(0.80 - 0.24 * near + 0.07 * waves, 0.3, 0.95)[..., None]
    glint = smooth(1.5, 3.0, waves + 0.5 * np.exp(-(((x - 120) / 170) ** 2)))[..., None] * 0.34
    water = seen * clear + deep * (1 - clear) + glint * array([1.0, 0.88, 0.66])
    scene.canvas[place] = water * (0.55 + 0.45 * smooth(0, 12, y - WATER))[..., None]


def _light(scene: Scene) -> Array:
    """Add the haze of the evening, and a slight darkening of the corners."""
    x, y = scene.x, scene.y
    bloom = blur(np.clip(scene.canvas - 0.72, 0, 1), 16)
    far = np.exp(-np.hypot((x - 60) / 420, (y - 300) / 230))[..., None]
    lit = scene.canvas + 0.5 * bloom + 0.10 * far * array([1.0, 0.72, 0.40])
    corner = 1 - 0.20 * smooth(330, 520, np.hypot(x - WIDTH / 2, (y - HEIGHT / 2) * 1.1))
    toned = lit * corner[..., None]
    noise = 0.006 * fractal(scene.rng, scene.shape, 3, 2)
    return np.asarray(toned * (1.07 - 0.07 * toned) + noise[..., None], dtype=np.float32)


def harbour() -> Image.Image:
    """Draw the harbour."""
    scene = Scene(41)
    _sky(scene)
    _hills(scene)
    for plan in HOUSES:
        house(scene, plan)
    quay(scene)
    _people(scene)
    sprites = [boat(scene.rng, plan) for plan in FLEET]
    _water(scene, _mirror(scene, sprites))
    for sprite in sprites:
        lay(scene.canvas, sprite)
    return finish(_light(scene), WIDTH, HEIGHT)
