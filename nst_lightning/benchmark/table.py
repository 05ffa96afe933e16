"""Formats the results for reading."""

from collections.abc import Sequence
from typing import Any


def format_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table with columns of equal width.

    Args:
        heads: headings of the columns.
        rows: cells of each row, as many as there are headings.
    """
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    padded = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *padded[1:]])


def format_ceiling(rows: list[dict[str, Any]]) -> str:
    """Returns the table of the machine's peak throughput.

    Args:
        rows: as from :func:`measure_ceiling`.
    """
    cells = [[row["what"], row["precision"], f"{row['rate'] / 1e9:.0f}"] for row in rows]
    return format_table(["peak throughput", "precision", "GFLOP/s"], cells)


def format_steps(rows: list[dict[str, Any]]) -> str:
    """Returns the table of step times and memory.

    Args:
        rows: as from :func:`measure_steps`.
    """
    heads = [
        "network",
        "px",
        "optimizer",
        "precision",
        "seconds/step",
        "speedup over reference",
        "share of peak throughput",
        "bytes/px",
        "peak MB",
    ]
    cells = [
        [
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
        for row in rows
    ]
    return format_table(heads, cells)


def format_busy(rows: list[dict[str, Any]]) -> str:
    """Returns the table of runs on a busy machine.

    Args:
        rows: as from :func:`measure_busy`.
    """
    choices = list(rows[0]["seconds"])
    heads = [
        "situation",
        *(f"--threads {choice}" for choice in choices),
        "threads of auto",
        "auto / best given number",
        "the same for steps",
    ]
    cells = [
        [
            row["situation"],
            *(f"{row['seconds'][choice]:.1f} s ({row['speed'][choice]:.1f} steps/s)" for choice in choices),
            f"{row['threads']['auto']:.3g}",
            f"{row['ratio']:.2f}",
            f"{row['step_ratio']:.2f}",
        ]
        for row in rows
    ]
    return format_table(heads, cells)


def format_comparisons(results: dict[str, Any]) -> list[str]:
    """Returns sentences about the overhead of Lightning and the time to quality.

    Args:
        results: all results of the command.
    """
    lightning = results["lightning"]
    lines = [
        f"Lightning: a step of {lightning['network']} at {lightning['size']} px takes {lightning['fit']['mean']:.4g} s "
        f"in `fit` and {lightning['bare']['mean']:.4g} s in a bare loop: {100 * lightning['cost']:+.1f} %."
    ]
    quality = results["quality"]
    for key, goal in (("to_goal", "the objective"), ("to_double", "twice the objective")):
        reference = quality[key]["reference"]
        labels = {"ours": "VGG19", "evenly": "VGG19 with whitening", "drafted": "the same after a draft of SlimVGG19"}
        times = ", ".join(f"{label} {_format_time(quality[key][run], reference)}" for run, label in labels.items())
        lines.append(
            f"Time to {goal} of the reference after {quality['evaluations']} evaluations at {quality['size']} px: "
            f"reference {reference:.1f} s, {times}."
        )
    return lines


def _format_time(seconds: float | None, reference: float) -> str:
    if seconds is None:
        return "not reached"
    return f"{seconds:.1f} s ({reference / seconds if seconds else 0:.2f} times as fast)"
