"""Solids of the still life: their distance fields, and rays, shadows, and facings found from them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nst_lightning.samples.drawing.canvas import smooth
from nst_lightning.samples.drawing.noise import Array, array


class Thing(NamedTuple):
    """A thing on the table: its kind, its center, its size, its colors, and its gloss."""

    kind: str
    center: tuple[float, float, float]
    size: float
    colors: tuple[tuple[float, str], ...]
    gloss: float


class Seen(NamedTuple):
    """Where rays end, and at which thing (-1 is the table, -2 is the wall)."""

    place: Array
    thing: NDArray[np.int32]


_RED = ((0.0, "c9a24a"), (0.25, "c2522c"), (0.55, "a5201c"), (1.0, "6a0f16"))
_GREEN = ((0.0, "d8cf7a"), (0.4, "a9b445"), (0.8, "7f9432"), (1.0, "9a4a2a"))
_ORANGE = ((0.0, "c8641a"), (0.5, "ea8a22"), (1.0, "f6ab48"))
_LEMON = ((0.0, "d9b21e"), (0.5, "f0d03a"), (1.0, "f8e67c"))
_PEAR = ((0.0, "8a6a24"), (0.4, "b7a03a"), (0.75, "cdb850"), (1.0, "b5713a"))
_GRAPE = ((0.0, "1d1030"), (0.5, "3d2250"), (1.0, "75507c"))
_GLASS = ((0.0, "0a1c12"), (0.4, "17432a"), (0.75, "3f8a4c"), (1.0, "8fc46a"))
_CHINA = ((0.0, "24406f"), (0.2, "24406f"), (0.3, "c9cfd2"), (1.0, "e9e6dc"))

THINGS = (
    Thing("bowl", (0.25, 1.0, 0.35), 1.62, _CHINA, 0.55),
    Thing("bottle", (-2.55, 0.0, 1.25), 0.78, _GLASS, 1.0),
    Thing("apple", (-0.45, 1.22, -0.05), 0.64, _RED, 0.5),
    Thing("ball", (0.72, 1.20, -0.25), 0.62, _ORANGE, 0.30),
    Thing("apple", (1.12, 1.25, 0.75), 0.62, _GREEN, 0.5),
    Thing("ball", (-0.10, 1.25, 1.05), 0.62, _ORANGE, 0.30),
    Thing("pear", (0.28, 1.80, 0.42), 0.56, _PEAR, 0.32),
    Thing("lemon", (-1.75, 0.46, -1.35), 0.46, _LEMON, 0.35),
    Thing("apple", (2.65, 0.60, -0.35), 0.66, _RED, 0.5),
    Thing("lemon", (3.35, 0.44, 0.95), 0.46, _LEMON, 0.35),
    *(
        Thing("ball", (1.35 + dx, 0.2 + dy, -1.75 + dz), 0.205, _GRAPE, 0.5)
        for dx, dy, dz in (
            (0.0, 0.02, 0.0), (0.37, 0.02, 0.1), (0.72, 0.0, -0.05), (0.2, 0.02, 0.35), (0.55, 0.02, 0.38),
            (0.18, 0.30, 0.16), (0.52, 0.31, 0.18), (-0.33, 0.0, 0.16), (0.35, 0.0, -0.28), (0.98, 0.0, 0.22),
        )
    ),
)  # fmt: skip


def _bottle(away: Array, y: Array, size: float) -> Array:
    narrow = size - (size - 0.27) * smooth(2.15, 3.05, y) + 0.07 * smooth(3.86, 3.92, y)
    wall = np.hypot(np.maximum(away - narrow + 0.08, 0), np.maximum(np.abs(y - 2.05) - 2.05 + 0.08, 0)) - 0.08
    return np.asarray(wall * 0.72, dtype=np.float32)


def _distance(item: Thing, place: Array) -> Array:
    x, y, z = (place[:, i] - item.center[i] for i in range(3))
    if item.kind == "bottle":
        return _bottle(np.hypot(x, z), y, item.size)
    if item.kind == "bowl":
        shell = np.abs(np.sqrt(x * x + z * z + (y * 1.45) ** 2) - item.size) * 0.75 - 0.05
        foot = np.maximum(np.abs(np.hypot(x, z) - 0.62) - 0.07, np.abs(y + 1.0) - 0.14)
        return np.asarray(np.minimum(np.maximum(shell, y - 0.05), foot), dtype=np.float32)
    if item.kind == "lemon":
        along = x * 0.86 + z * 0.5
        away = np.sqrt(y * y + (z * 0.86 - x * 0.5) ** 2)
        tip = 0.10 * np.exp(-((np.abs(along) - 0.60) ** 2) * 60)
        return np.asarray((np.hypot(along * 0.78, away) - item.size) * 0.9 - tip * 0.5, dtype=np.float32)
    if item.kind == "pear":
        lean = x - 0.12 * np.maximum(y, 0)
        narrow = 1.0 + 0.75 * smooth(0.05, 1.0, y)
        return np.asarray(
            (np.sqrt((lean * narrow) ** 2 + (z * narrow) ** 2 + (y * 0.78) ** 2) - item.size) * 0.62, dtype=np.float32
        )
    length = np.sqrt(x * x + y * y + z * z)
    if item.kind == "apple":
        away = np.hypot(x, z)
        dent = 0.24 * np.exp(-((away / 0.20) ** 2)) * smooth(0.0, 0.4, y)
        waist = 0.07 * smooth(0.3, -0.6, y) * away
        return np.asarray((length - item.size + dent + waist) * 0.8, dtype=np.float32)
    return np.asarray(length - item.size, dtype=np.float32)


def _groups() -> tuple[tuple[Array, float, tuple[int, ...]], ...]:
    """Return spheres that hold things, so that far things need no closer look."""
    holders = []
    for number, item in enumerate(THINGS):
        middle, radius = array(item.center), item.size + 0.25
        if item.kind == "bottle":
            middle, radius = middle + array([0, 2.0, 0]), 2.35
        if item.colors is not _GRAPE:
            holders.append((middle, radius, (number,)))
    grapes = tuple(number for number, item in enumerate(THINGS) if item.colors is _GRAPE)
    middle = np.mean([THINGS[number].center for number in grapes], axis=0).astype(np.float32)
    return (*holders, (middle, 1.0, grapes))


_GROUPS = _groups()


def distance(place: Array) -> tuple[Array, NDArray[np.int32]]:
    """Return the distance from each place to the nearest thing, and the number of that thing."""
    best = np.full(len(place), 1e3, dtype=np.float32)
    which = np.zeros(len(place), dtype=np.int32)
    for middle, radius, numbers in _GROUPS:
        x, y, z = (place[:, i] - middle[i] for i in range(3))
        near = np.flatnonzero(np.sqrt(x * x + y * y + z * z) - radius < best)
        if len(near) == 0:
            continue
        spot = place[near]
        for number in numbers:
            away = _distance(THINGS[number], spot)
            closer = away < best[near]
            best[near[closer]] = away[closer]
            which[near[closer]] = number
    return best, which


def march(eye: Array, rays: Array, wall: float) -> Seen:
    """Follow rays from the eye to the things, the table at height 0, or the wall.

    Args:
        eye: Where rays start.
        rays: Their directions.
        wall: How far back the wall stands.

    Returns:
        Where they end.
    """
    table = np.where(rays[:, 1] < -1e-4, -eye[1] / np.minimum(rays[:, 1], -1e-4), 1e6)
    back = (wall - eye[2]) / np.maximum(rays[:, 2], 1e-4)
    limit = np.minimum(table, back).astype(np.float32)
    thing = np.where(table < back, -1, -2).astype(np.int32)
    far = np.full(len(rays), 6.2, dtype=np.float32)
    alive = np.arange(len(rays))
    for _ in range(64):
        away, which = distance(eye + rays[alive] * far[alive, None])
        hit = away < 0.004
        thing[alive[hit]] = which[hit]
        limit[alive[hit]] = far[alive[hit]]
        far[alive] += away
        alive = alive[~hit & (far[alive] < limit[alive])]
        if len(alive) == 0:
            break
    return Seen((eye + rays * limit[:, None]).astype(np.float32), thing)


def normals(place: Array, thing: NDArray[np.int32]) -> Array:
    """Return which way the surface of its thing faces at each place."""
    facing = np.zeros_like(place)
    for number, item in enumerate(THINGS):
        here = thing == number
        if here.any():
            spot = place[here]
            for axis in range(3):
                step = np.zeros(3, dtype=np.float32)
                step[axis] = 0.012
                facing[here, axis] = _distance(item, spot + step) - _distance(item, spot - step)
    return np.asarray(facing / (np.linalg.norm(facing, axis=1, keepdims=True) + 1e-9), dtype=np.float32)


def shadow(place: Array, sun: Array, softness: float = 9.0) -> Array:
    """Return how much of a broad lamp each place sees, 0 to 1."""
    clear = np.ones(len(place), dtype=np.float32)
    far = np.full(len(place), 0.05, dtype=np.float32)
    alive = np.arange(len(place))
    for _ in range(22):
        away, _which = distance(place[alive] + sun * far[alive, None])
        clear[alive] = np.minimum(clear[alive], softness * away / far[alive] * 0.5 + 0.5)
        far[alive] += np.clip(np.abs(away), 0.07, 0.9)
        alive = alive[(far[alive] < 7.0) & (clear[alive] > 0.01)]
        if len(alive) == 0:
            break
    return smooth(0.0, 1.0, clear)


def occlusion(place: Array, facing: Array) -> Array:
    """Return how open the room is above each place, 0 to 1."""
    closed = np.zeros(len(place), dtype=np.float32)
    for step, weight in ((0.12, 1.6), (0.35, 0.75), (0.8, 0.36)):
        spot = place + facing * step
        away = np.minimum(distance(spot)[0], np.maximum(spot[:, 1], 0.0))
        closed += weight * np.clip(step - away, 0, 1)
    return np.clip(1 - closed, 0.08, 1).astype(np.float32)
