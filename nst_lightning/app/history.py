"""The runs of the app, as they are on the disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nst_lightning.app.painting import Painting

RunPhase = Literal["waiting", "painting", "finished", "stopped", "failed"]


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


def list_runs(runs: Path) -> list[RunView]:
    """Lists all runs, the newest first."""
    raise NotImplementedError


def thumbnail(view: RunView, size: int = 256) -> Path | None:
    """Returns a small picture of a run, which is kept in its folder, or None without a picture."""
    raise NotImplementedError
