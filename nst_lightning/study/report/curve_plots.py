"""Plots loss curves as SVG."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

# Distinguishable with color vision deficiency (Okabe and Ito 2008).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
DASHES = ("-", "--", ":", "-.")


def plot_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Plots the objective of several runs over their steps and returns an SVG element.

    Args:
        curves: for each label, the values of ``step`` and ``total``.
    """
    # With "none", text stays text: smaller, searchable, and in the font of the page.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nst_lightning", "font.size": 9}):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        for number, (label, curve) in enumerate(curves.items()):
            color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
            axes.plot(curve["step"], curve["total"], label=label, linewidth=1.4, color=color, linestyle=dash)
        has_positive = any(value > 0 for curve in curves.values() for value in curve["total"])
        axes.set(xlabel="step", ylabel="objective", yscale="log" if has_positive else "linear")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
        # An early step can overshoot by many powers of ten, which would flatten the rest of the plot.
        starts = [curve["total"][0] for curve in curves.values()]
        if max(starts, default=0) > 0:
            axes.set_ylim(top=2 * max(starts))
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
    text = svg.getvalue()
    return text[text.index("<svg") :]
