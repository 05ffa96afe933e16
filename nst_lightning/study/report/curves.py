"""The plots of the losses."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Distinguishable also without color vision (Okabe and Ito 2008).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
DASHES = ("-", "--", ":", "-.")


def curves_svg(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Plots the objective of several runs over their steps, as SVG to stand in a page.

    Args:
        curves: by the run's label, `step` and `total` and the terms' values.
    """
    # Text stays text: it is small, can be searched, and has the page's font.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nst_lightning", "font.size": 9}):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        for number, (label, curve) in enumerate(curves.items()):
            color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
            axes.plot(curve["step"], curve["total"], label=label, linewidth=1.4, color=color, linestyle=dash)
        positive = any(value > 0 for curve in curves.values() for value in curve["total"])
        _dress(axes, len(curves), "log" if positive else "linear")
        # A first step that goes too far, by many powers of ten now and then, would leave no room for the rest.
        starts = [curve["total"][0] for curve in curves.values()]
        if max(starts, default=0) > 0:
            axes.set_ylim(top=2 * max(starts))
        return _svg(figure)


def _dress(axes: Any, count: int, scale: str) -> None:
    axes.set(xlabel="step", ylabel="objective", yscale=scale)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if count > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _svg(figure: Figure) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
