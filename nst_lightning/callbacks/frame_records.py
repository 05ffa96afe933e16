"""The painted frames of a film in numbers."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nst_lightning.images.atomic import write_bytes

RECORDS = "frames.json"
"""Where they are in the run folder while it is painted."""


@dataclass(frozen=True)
class FrameRecord:
    """A painted frame in numbers.

    Attributes:
        frame: its number among those that are painted, from 0.
        time: when it is shown, in seconds.
        steps: evaluations of the objective at its last size.
        seconds: that its painting took; of a frame in which the run was resumed, those after that.
        losses: the terms of the objective at the last step.
        warping_error: how much it differs from the frame before where that shows the same; None where there is none.
        compared: the share of its pixels for which that could be told.
    """

    frame: int
    time: float
    steps: int
    seconds: float
    losses: dict[str, float]
    warping_error: float | None
    compared: float


def means(records: Sequence[FrameRecord]) -> dict[str, Any]:
    """What a film came to: the means of its frames, and each of them."""
    seconds = [record.seconds for record in records]
    return {
        "frames": len(records),
        "seconds_per_frame": sum(seconds) / len(seconds) if seconds else None,
        "warping_error": overall_error(records),
        "losses": mean_losses(records),
        "per_frame": [asdict(record) for record in records],
    }


def write_records(path: Path, records: Sequence[FrameRecord]) -> None:
    """Writes the records of all painted frames."""
    write_bytes(path, (json.dumps([asdict(record) for record in records]) + "\n").encode())


def read_records(path: Path, count: int) -> list[FrameRecord]:
    """The records of the first so many frames, as far as they were written."""
    if not path.exists():
        return []
    return [FrameRecord(**record) for record in json.loads(path.read_text()) if record["frame"] < count]


def overall_error(records: Sequence[FrameRecord]) -> float | None:
    """The warping error of all frames together: the root of the mean of squares over all pixels that are compared."""
    found = [(record.warping_error, record.compared) for record in records if record.warping_error is not None]
    compared = sum(share for _, share in found)
    return (sum(error**2 * share for error, share in found) / compared) ** 0.5 if compared else None


def mean_losses(records: Sequence[FrameRecord]) -> dict[str, float]:
    """The mean of each term over the frames."""
    names = list(dict.fromkeys(name for record in records for name in record.losses))
    values = {name: [record.losses[name] for record in records if name in record.losses] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}
