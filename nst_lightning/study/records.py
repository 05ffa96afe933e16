"""What is known of a run from its folder."""

import json
from pathlib import Path
from typing import Any, Literal

from nst_lightning.callbacks.checkpoints import LAST
from nst_lightning.callbacks.images import RESULT
from nst_lightning.callbacks.snapshots import snapshot_name
from nst_lightning.callbacks.summary import SUMMARY
from nst_lightning.image import write_bytes

FAILURE = "failure.txt"
"""Name of the message of a run that failed in its folder."""

State = Literal["done", "failed", "begun", "new"]


def state(folder: Path) -> State:
    """How far the run of a folder has come."""
    if (folder / FAILURE).exists():
        return "failed"
    made = summary(folder)
    if made is not None and made["steps"] >= made["planned"] and (folder / RESULT).exists():
        return "done"
    return "begun" if (folder / LAST).exists() else "new"


def summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a run, or None where it has none yet."""
    path = folder / SUMMARY
    if not path.exists():
        return None
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def failure(folder: Path) -> str:
    """Why a run failed, or nothing."""
    path = folder / FAILURE
    return path.read_text().strip() if path.exists() else ""


def write_failure(folder: Path, message: str) -> None:
    """Notes why a run failed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / FAILURE, (message + "\n").encode())


def picture(folder: Path, step: int | None = None) -> Path:
    """The file of a run's picture, at its end or after a step."""
    return folder / (RESULT if step is None else snapshot_name(step))
