"""Reads and writes the files of a run folder that show the progress of the run."""

import json
from pathlib import Path
from typing import Any, Literal

from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT
from nst_lightning.callbacks.films import COMPARE_SUFFIX, FILM_FILE
from nst_lightning.callbacks.result import IMAGE_NAME
from nst_lightning.callbacks.snapshots import snapshot_name
from nst_lightning.callbacks.summary import SUMMARY_NAME
from nst_lightning.images.atomic import write_bytes
from nst_lightning.video.frames import FRAMES_FOLDER

# Holds the error message of a failed run.
FAILURE_FILE = "failure.txt"

# Results of a film run, in the order in which the page prefers them.
FILM_FILES = (f"{Path(FILM_FILE).stem}{COMPARE_SUFFIX}.mp4", FILM_FILE)

# Progress of a run; `begun` runs have a checkpoint. The words are written to ``results.csv``.
RunStatus = Literal["done", "failed", "begun", "new"]


def read_status(folder: Path) -> RunStatus:
    """Reads the progress of the run in a folder."""
    if (folder / FAILURE_FILE).exists():
        return "failed"
    summary = read_summary(folder)
    # A run whose picture was deleted is painted again.
    if summary is not None and summary["steps"] >= summary["planned"] and picture_path(folder).exists():
        return "done"
    return "begun" if (folder / LAST_CHECKPOINT).exists() else "new"


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Reads the summary of a run, or returns None if there is none yet."""
    path = folder / SUMMARY_NAME
    if not path.exists():
        return None
    summary: dict[str, Any] = json.loads(path.read_text())
    return summary


def read_failure(folder: Path) -> str:
    """Reads the error message of a run; empty if it has not failed."""
    path = folder / FAILURE_FILE
    return path.read_text().strip() if path.exists() else ""


def write_failure(folder: Path, message: str) -> None:
    """Writes the error message of a run."""
    write_bytes(folder / FAILURE_FILE, (message + "\n").encode())


def picture_path(folder: Path, step: int | None = None) -> Path:
    """Returns the path of a run's picture; of a film run, the path of the film.

    Args:
        folder: the run folder.
        step: step of a snapshot, or None for the result.
    """
    if step is not None:
        return folder / snapshot_name(step)
    films = [folder / name for name in FILM_FILES if (folder / name).exists()]
    return films[0] if films else folder / IMAGE_NAME


def still_path(file: Path) -> Path:
    """Returns a picture that represents a file on a contact sheet: the middle frame of a film, else the file itself."""
    if file.name not in FILM_FILES:
        return file
    frames = sorted((file.parent / FRAMES_FOLDER).iterdir())
    return frames[len(frames) // 2]
