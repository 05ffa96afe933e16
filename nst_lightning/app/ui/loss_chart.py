"""The loss curves of a run as an SVG picture."""

import html
import math
from collections.abc import Mapping, Sequence

WIDTH = 240
HEIGHT = 72
POINTS = 120


def draw_curves(curves: Mapping[str, Sequence[float]]) -> str:
    """Draws each term of the objective in a small chart with a logarithmic axis of its own.

    Args:
        curves: ``step``, and the values of each term at these steps.

    Returns:
        HTML, with the first and last value of each term as text.
    """
    steps = curves.get("step", [])
    charts = [
        _draw_chart(name, steps, values) for name, values in curves.items() if name != "step" and len(values) >= 2
    ]
    if not charts:
        return '<p class="quiet">The curves appear after the first steps.</p>'
    return f'<div class="curves">{"".join(charts)}</div>'


def _draw_chart(name: str, steps: Sequence[float], values: Sequence[float]) -> str:
    kept = [
        (step, math.log10(value))
        for step, value in zip(steps, values, strict=False)
        if math.isfinite(value) and value > 0
    ]
    kept = kept[:: max(1, len(kept) // POINTS)]
    title = html.escape(name)
    text = f"{values[0]:.3g} to {values[-1]:.3g}"
    return (
        f'<figure><figcaption><strong>{title}</strong> <span class="quiet">{text}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss {title} over the steps: {text}" '
        f'preserveAspectRatio="none"><polyline points="{_trace(kept)}"/></svg></figure>'
    )


def _trace(points: Sequence[tuple[float, float]]) -> str:
    if not points:
        return ""
    first, last = points[0][0], points[-1][0]
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    width, height = (last - first) or 1, (highest - lowest) or 1
    return " ".join(
        f"{(x - first) / width * WIDTH:.1f},{2 + (highest - y) / height * (HEIGHT - 4):.1f}" for x, y in points
    )
