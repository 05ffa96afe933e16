"""The results as a person reads them."""

from collections.abc import Sequence
from typing import Any


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of equal width."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    padded = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *padded[1:]])


def ceiling_table(rows: list[dict[str, Any]]) -> str:
    """Rates of the machine."""
    cells = [[row["what"], row["precision"], f"{row['rate'] / 1e9:.0f}"] for row in rows]
    return table(["ceiling", "precision", "GFLOP/s"], cells)


def step_table(rows: list[dict[str, Any]]) -> str:
    """Our steps and the reference's."""
    heads = [
        "step",
        "px",
        "optimizer",
        "precision",
        "seconds",
        "times the reference",
        "of the ceiling",
        "bytes/px",
        "peak MB",
    ]
    return table(heads, [_step(row) for row in rows])


def _step(row: dict[str, Any]) -> list[str]:
    return [
        row["network"],
        str(row["size"]),
        row["optimizer"],
        row["precision"],
        f"{row['seconds']['median']:.4g}",
        f"{row['speed']:.2f}" if row.get("speed") else "",
        f"{100 * row['share']:.0f} %" if row.get("share") else "",
        f"{row['bytes_per_pixel']:.0f}",
        f"{row['peak_bytes'] / 1e6:.0f}" if row.get("peak_bytes") else "",
    ]


def other_lines(found: dict[str, Any]) -> list[str]:
    """What Lightning costs and the time to quality, a line each."""
    cost = found["lightning"]
    lines = [
        f"Lightning: a step of {cost['network']} at {cost['size']} px takes {cost['fit']['mean']:.4g} s in `fit` and "
        f"{cost['bare']['mean']:.4g} s in a bare loop: {100 * cost['cost']:+.1f} %."
    ]
    quality = found["quality"]
    for key, what in (("to_goal", "the objective"), ("to_double", "twice the objective")):
        reference = quality[key]["reference"]
        names = {"ours": "", "evenly": "with whitening ", "drafted": "after a draft of SlimVGG19 too "}
        here = "; ".join(f"{name}{_time(quality[key][course], reference)}" for course, name in names.items())
        lines.append(
            f"Time to {what} of the reference's evaluation {quality['evaluations']} at {quality['size']} px: "
            f"{reference:.1f} s there, here {here}."
        )
    return lines


def _time(seconds: float | None, reference: float) -> str:
    if seconds is None:
        return "not reached"
    return f"{seconds:.1f} s ({reference / seconds if seconds else 0:.2f} times as fast)"
