"""Style: an abstract composition of circles, triangles, arcs, and lines, in textured paint."""

import numpy as np
from PIL import Image

from nst_lightning.samples.drawing.canvas import blur, finish, grid, hexcolor, polygon_mask, ramp, relief, smooth
from nst_lightning.samples.drawing.noise import Array, array, fractal

WIDTH, HEIGHT, SCALE = 768, 576, 2
WARM = ("c8361f", "e2762b", "f0b23c", "8e1f2b", "f4d58a", "d9897a")
COOL = ("1c3f72", "2f7f8f", "123047", "7fb3a8", "4a3a78", "a9c7d6")
BLACK = "17151c"

_Patch = tuple[tuple[slice, slice], Array]


class _Board:
    """The picture so far, with what every shape needs to be painted."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.x, self.y = grid(WIDTH, HEIGHT, SCALE)
        self.shape = self.x.shape
        self.grain = fractal(self.rng, self.shape, 9, 4, 0.7, stretch=4)
        self.mottle = fractal(self.rng, self.shape, 70, 6, 0.65)
        self.bump = 0.06 * self.grain + 0.10 * fractal(self.rng, self.shape, 3, 2)
        ground = ramp(
            0.5 + 0.2 * self.mottle + 0.22 * np.sin(self.x / 210 + 1) * np.cos(self.y / 150),
            [(0, "7a8f8a"), (0.25, "b9b08c"), (0.5, "e6d3a3"), (0.75, "e9c083"), (1, "d08a56")],
        )
        self.canvas = (ground * (1 + 0.05 * self.grain)[..., None]).astype(np.float32)

    def lay(self, patch: _Patch, color: str, opacity: float = 0.9, multiply: bool = False) -> None:
        """Paint a shape: scumbled, darker at one side, with a raised edge."""
        place, mask = patch
        turn = self.rng.random() * 2 * np.pi
        mottle = self.mottle[place]
        grain = self.grain[place] if turn < 3 else self.mottle[::-1, ::-1][place]
        slant = (self.x[place] * np.cos(turn) + self.y[place] * np.sin(turn)) / 70 + turn
        fade = 0.10 * np.sin(slant) + 0.06 * grain
        paint = array(hexcolor(color)) * (1 + fade)[..., None] + (0.025 * mottle)[..., None]
        under = self.canvas[place]
        if multiply:
            paint = under * (0.25 + 0.85 * paint)
        cover = mask * np.clip(opacity + 0.10 * grain + 0.05 * mottle, 0, 1)
        under += cover[..., None] * (paint - under)
        self.bump[place] += 0.16 * mask

    def window(self, points: list[tuple[float, float]], margin: float) -> tuple[slice, slice]:
        """Return the part of the canvas around some points."""
        x, y = zip(*points, strict=True)
        rows = slice(max(0, int((min(y) - margin) * SCALE)), max(0, int((max(y) + margin) * SCALE)))
        return rows, slice(max(0, int((min(x) - margin) * SCALE)), max(0, int((max(x) + margin) * SCALE)))

    def disc(self, cx: float, cy: float, radius: float) -> _Patch:
        """Return a disc with a slightly unsteady edge."""
        place = self.window([(cx, cy)], radius + 3)
        away = np.hypot(self.x[place] - cx, self.y[place] - cy)
        return place, smooth(0.7, -0.7, away - radius + 0.5 * self.mottle[place])

    def arc(self, cx: float, cy: float, radius: float, width: float, start: float, sweep: float) -> _Patch:
        """Return a part of a ring."""
        place = self.window([(cx, cy)], radius + width + 3)
        x, y = self.x[place] - cx, self.y[place] - cy
        ring = smooth(0.7, -0.7, np.abs(np.hypot(x, y) - radius) - width / 2 + 0.3 * self.mottle[place])
        return place, ring * ((np.arctan2(y, x) - start) % (2 * np.pi) < sweep)

    def polygon(self, points: list[tuple[float, float]]) -> _Patch:
        """Return a polygon."""
        place = self.window(points, 2)
        corner = np.array([place[1].start, place[0].start]) / SCALE
        return place, blur(polygon_mask(self.x[place].shape, np.array(points) - corner, SCALE), 0.6)

    def line(self, start: tuple[float, float], end: tuple[float, float], width: float) -> _Patch:
        """Return a straight line that swells in the middle."""
        place = self.window([start, end], width + 2)
        span = np.subtract(end, start)
        dx, dy = self.x[place] - start[0], self.y[place] - start[1]
        along = np.clip((dx * span[0] + dy * span[1]) / (span @ span), 0, 1)
        away = np.hypot(dx - along * span[0], dy - along * span[1])
        return place, smooth(0.6, -0.6, away - width * (0.35 + 0.3 * np.sin(np.pi * along)) + 0.15 * self.mottle[place])


def _planes(board: _Board) -> None:
    """Cover the ground with large translucent planes."""
    rng = board.rng
    for i in range(20):
        cx, cy = rng.random(2) * (WIDTH, HEIGHT)
        turns = np.sort(rng.random(3 + i % 2)) * 2 * np.pi
        size = 130 + 130 * rng.random()
        points = [(cx + size * np.cos(t), cy + size * np.sin(t)) for t in turns.tolist()]
        board.lay(board.polygon(points), (WARM + COOL)[int(rng.integers(12))], 0.5, multiply=i % 3 == 0)


def _targets(board: _Board) -> None:
    """Paint the nests of circles."""
    rng = board.rng
    spots = (
        (205, 190, 122),
        (560, 395, 105),
        (610, 130, 74),
        (365, 470, 66),
        (60, 470, 58),
        (420, 85, 40),
        (720, 280, 46),
    )
    for i, (cx, cy, size) in enumerate(spots):
        first, second = (WARM, COOL) if i % 2 else (COOL, WARM)
        board.lay(board.disc(cx + 5, cy + 6, size + 5), BLACK, 0.45, multiply=True)
        for j, part in enumerate((1.0, 0.8, 0.62, 0.42, 0.22)[: 3 + size // 40]):
            color = (first if j % 2 == 0 else second)[int(rng.integers(6))]
            board.lay(board.disc(cx + rng.normal(0, 0.03) * size, cy + rng.normal(0, 0.03) * size, size * part), color)
        board.lay(board.arc(cx, cy, size * 1.1, 2.6, rng.random() * 6, 4.2), BLACK)


def _angles(board: _Board) -> None:
    """Paint the triangles and the bundles of arcs."""
    rng = board.rng
    for i, (cx, cy, size, turn) in enumerate(
        ((330, 260, 120, 0.3), (470, 230, 90, 2.0), (130, 380, 84, 1.1), (690, 480, 80, 2.6), (300, 60, 62, 0.8))
    ):
        points = [(cx + size * np.cos(turn + a), cy + size * np.sin(turn + a)) for a in (0.0, 2.3, 3.6)]
        board.lay(board.polygon(points), (WARM, COOL)[i % 2][int(rng.integers(6))], 0.82, multiply=i % 2 == 0)
    for _ in range(11):
        cx, cy = rng.random(2) * (WIDTH, HEIGHT)
        radius, start, sweep = 34 + 90 * rng.random(), rng.random() * 6.2, 1.2 + 2 * rng.random()
        for j in range(int(rng.integers(1, 4))):
            color = (BLACK, *WARM, *COOL)[int(rng.integers(13))]
            board.lay(board.arc(cx, cy, radius + 9 * j, 2.0 + 5 * rng.random(), start, sweep), color)


def _checkers(board: _Board) -> None:
    """Paint the checkered patches."""
    for cx, cy, turn, cell in ((470, 320, 0.5, 13), (90, 80, -0.3, 15), (640, 260, -0.7, 11), (250, 420, 0.25, 12)):
        for k in range(16):
            u, v = (k % 4 - 1.5) * cell, (k // 4 - 1.5) * cell
            corners = [(u, v), (u + cell, v), (u + cell, v + cell), (u, v + cell)]
            points = [
                (cx + a * np.cos(turn) - b * np.sin(turn), cy + a * np.sin(turn) + b * np.cos(turn)) for a, b in corners
            ]
            if (k + k // 4) % 2:
                board.lay(board.polygon(points), (BLACK, *COOL, *WARM)[int(board.rng.integers(13)) * (k % 3 > 0)])


def _lines(board: _Board) -> None:
    """Paint the straight lines and the dots."""
    rng = board.rng
    for i in range(24):
        cx, cy = rng.random(2) * (WIDTH, HEIGHT)
        turn, reach = (0.55, -0.75, 1.9)[i % 3] + rng.normal(0, 0.08), 60 + 190 * rng.random()
        end = (cx + reach * np.cos(turn), cy + reach * np.sin(turn))
        board.lay(board.line((cx, cy), end, 1.8 + 3.5 * rng.random() ** 2), BLACK if i % 4 else WARM[i % 6], 0.95)
    for _ in range(22):
        cx, cy = rng.random(2) * (WIDTH, HEIGHT)
        board.lay(board.disc(cx, cy, 3 + 11 * rng.random() ** 2), (BLACK, *WARM, *COOL)[int(rng.integers(13))])


def geometric() -> Image.Image:
    """Draw the composition."""
    board = _Board(17)
    _planes(board)
    _targets(board)
    _angles(board)
    _checkers(board)
    _lines(board)
    light = relief(blur(board.bump, 0.8), 2.6)
    return finish(board.canvas * (0.55 + 0.45 * light)[..., None], WIDTH, HEIGHT)
