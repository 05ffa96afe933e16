"""The runs of the app, as they are on the disk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from nst_lightning.app.painting import RUN_NAME, Painting
from nst_lightning.app.records import RunPhase, RunRecord, read_record
from nst_lightning.app.term_weights import find_factors, keep_factors
from nst_lightning.callbacks.films import FILM_FILE
from nst_lightning.callbacks.live import PREVIEW_NAME, merge_changes
from nst_lightning.callbacks.result import IMAGE_NAME
from nst_lightning.callbacks.summary import SUMMARY_NAME
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import atomic_path
from nst_lightning.images.opening import suspend_pillow_limit
from nst_lightning.training.steering import STEERING_NAME, read_live, read_steering

# Points of the loss curves while a run paints: a JSON object in each line.
CURVES_NAME = "curves.jsonl"


@dataclass(frozen=True)
class RunView:
    """What a page shows of a run.

    Attributes:
        id: name of its folder.
        state: its phase.
        position: place in the queue from 1 while it waits, else None.
        painting: what was asked for.
        live: content of `live.json`, or None before the first step.
        error: one line if it failed.
        preview: newest picture file: the result if it exists, else the preview.
        result: the stylized picture with its configuration embedded, or the film; None before the end.
        curves: loss curves so far: `step`, then the terms.
        created: seconds since 1970.
    """

    id: str
    state: RunPhase
    position: int | None
    painting: Painting
    live: dict[str, Any] | None
    error: str | None
    preview: Path | None
    result: Path | None
    curves: dict[str, list[float]]
    created: float


def apply_changes(view: RunView, folder: Path) -> Painting:
    """Returns what was asked for, with the strength and the weights that were set while it was painted.

    Args:
        view: the run.
        folder: its folder.
    """
    painting, path = view.painting, folder / STEERING_NAME
    if not path.is_file():
        return painting
    changes = merge_changes(read_steering(path))
    if changes.style_weights is not None:
        styles = zip(painting.styles, changes.style_weights, strict=True)
        painting = replace(painting, styles=tuple(replace(style, weight=weight) for style, weight in styles))
    if changes.strength is not None:
        painting = replace(painting, strength=changes.strength)
    factors = {**painting.term_factors, **find_factors(changes.weights, painting.config_name)}
    return replace(painting, term_factors=keep_factors(factors, painting.config_name))


def iterate_records(runs: Path) -> Iterator[tuple[Path, RunRecord]]:
    """Yields the folder and the record of each run."""
    for folder in runs.iterdir():
        if RUN_NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            try:
                yield folder, read_record(folder)
            except InputError:
                continue  # a folder that is being created, or was deleted


def queue_order(runs: Path) -> list[str]:
    """Lists the runs that wait, the next one first."""
    waiting = [(record.order, folder.name) for folder, record in iterate_records(runs) if record.state == "waiting"]
    return [name for _, name in sorted(waiting)]


def view_run(folder: Path, record: RunRecord, waiting: list[str]) -> RunView:
    """Collects what a page shows of a run.

    Args:
        folder: run folder.
        record: its record.
        waiting: see :func:`queue_order`.
    """
    result = folder / (FILM_FILE if record.painting.is_film else IMAGE_NAME)
    is_over = record.state not in ("waiting", "painting")
    pictures = [folder / PREVIEW_NAME]
    if is_over and not record.painting.is_film:
        pictures.insert(0, result)
    name = folder.name
    return RunView(
        id=name,
        state=record.state,
        position=waiting.index(name) + 1 if name in waiting else None,
        painting=record.painting,
        live=read_live(folder),
        error=record.error,
        preview=next((path for path in pictures if path.is_file()), None),
        result=result if is_over and result.is_file() else None,
        curves=read_curves(folder, is_over),
        created=record.created,
    )


def list_runs(runs: Path) -> list[RunView]:
    """Lists all runs, the newest first, without those that were removed from the queue before they had a picture."""
    waiting = queue_order(runs)
    views = [view_run(folder, record, waiting) for folder, record in iterate_records(runs)]
    kept = [view for view in views if view.state != "stopped" or view.preview is not None or view.result is not None]
    return sorted(kept, key=lambda view: view.created, reverse=True)


def read_curves(folder: Path, is_over: bool) -> dict[str, list[float]]:
    """Reads the loss curves of a run: `step`, the terms, and their sum as `total`.

    Args:
        folder: run folder.
        is_over: whether the run has ended; its summary then has all points.
    """
    if is_over:
        try:
            curves: dict[str, list[float]] = json.loads((folder / SUMMARY_NAME).read_text())["curves"]
            return curves
        except (OSError, ValueError, KeyError):
            pass
    try:
        lines = (folder / CURVES_NAME).read_text().splitlines()
    except OSError:
        return {"step": []}
    points: dict[float, dict[str, float]] = {}
    for line in lines:
        try:
            point = json.loads(line)
        except ValueError:
            continue  # the last line of a server that was killed
        # A run that continues from a checkpoint makes some steps again.
        while points and next(reversed(points)) >= point["step"]:
            points.popitem()
        points[point["step"]] = point
    names = list(dict.fromkeys(name for point in points.values() for name in point))
    kept = [point for point in points.values() if all(name in point for name in names)]
    return {name: [point[name] for point in kept] for name in names} or {"step": []}


def append_point(folder: Path, live: dict[str, Any]) -> None:
    """Adds the terms in `live.json` to the curves of a run."""
    point = {"step": live["step"], **live.get("terms", {}), "total": live.get("objective")}
    if all(isinstance(value, int | float) for value in point.values()):
        with (folder / CURVES_NAME).open("a") as file:
            file.write(json.dumps(point) + "\n")


def thumbnail(view: RunView, size: int = 256) -> Path | None:
    """Returns a small picture of a run, which is kept next to its picture, or None without a picture.

    Args:
        view: the run.
        size: long edge in px.
    """
    source = view.preview
    if source is None:
        return None
    path = source.with_name(f"thumbnail-{size}.webp")
    try:
        if not path.is_file() or path.stat().st_mtime < source.stat().st_mtime:
            with suspend_pillow_limit(), Image.open(source) as opened:
                small = opened.convert("RGB")
                small.thumbnail((size, size))
            with atomic_path(path) as temporary:
                small.save(temporary, "WEBP", quality=85)
    except OSError:
        return None
    return path
