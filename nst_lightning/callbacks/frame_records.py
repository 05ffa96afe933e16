"""Measurements of each painted frame of a film."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nst_lightning.images.atomic import write_bytes

# Name of the file with the records in a run folder.
RECORDS_FILE = "frames.json"


@dataclass(frozen=True)
class FrameRecord:
    """Measurements of a painted frame.

    Attributes:
        frame: number of the frame among the painted ones, from 0.
        time: when the frame is shown, in seconds.
        steps: evaluations of the objective at the last size.
        seconds: duration of the painting; for a frame inside which the run was resumed, since then.
        losses: terms of the objective at the last step.
        warping_error: difference from the warped previous frame; None at the start of a shot.
        compared: share of the pixels that the warping error is measured on.
    """

    frame: int
    time: float
    steps: int
    seconds: float
    losses: dict[str, float]
    warping_error: float | None
    compared: float

    @cached_property
    def text(self) -> str:
        """The record as JSON, computed once: the file of the records is written again after each frame."""
        return json.dumps(asdict(self))


def summarize_records(records: Sequence[FrameRecord]) -> dict[str, Any]:
    """Computes the means over all frames, and lists the measurements of each frame."""
    seconds = [record.seconds for record in records]
    return {
        "frames": len(records),
        "seconds_per_frame": sum(seconds) / len(seconds) if seconds else None,
        "warping_error": overall_warping_error(records),
        "losses": mean_losses(records),
        "per_frame": [asdict(record) for record in records],
    }


def write_records(path: Path, records: Sequence[FrameRecord]) -> None:
    """Writes the records of all painted frames as JSON."""
    write_bytes(path, f"[{', '.join(record.text for record in records)}]\n".encode())


def read_records(path: Path, count: int) -> list[FrameRecord]:
    """Reads the records of the first ``count`` frames; an empty list if there is no file."""
    if not path.exists():
        return []
    return [FrameRecord(**record) for record in json.loads(path.read_text()) if record["frame"] < count]


def overall_warping_error(records: Sequence[FrameRecord]) -> float | None:
    """Computes the root mean square warping error over all compared pixels of all frames; None if there are none."""
    errors = [(record.warping_error, record.compared) for record in records if record.warping_error is not None]
    compared = sum(share for _, share in errors)
    return (sum(error**2 * share for error, share in errors) / compared) ** 0.5 if compared else None


def mean_losses(records: Sequence[FrameRecord]) -> dict[str, float]:
    """Computes the mean of each term over the frames."""
    names = list(dict.fromkeys(name for record in records for name in record.losses))
    values = {name: [record.losses[name] for record in records if name in record.losses] for name in names}
    return {name: sum(losses) / len(losses) for name, losses in values.items()}
