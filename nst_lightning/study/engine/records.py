"""What is known of a run from its folder."""

import json
from pathlib import Path
from typing import Any, Literal

from nst_lightning.callbacks.checkpoint import LAST
from nst_lightning.callbacks.films import COMPARE_SUFFIX, FILM_FILE
from nst_lightning.callbacks.result import RESULT
from nst_lightning.callbacks.snapshots import snapshot_name
from nst_lightning.callbacks.summary import SUMMARY
from nst_lightning.images.atomic import write_bytes
from nst_lightning.video.frames import FRAMES_FOLDER

FAILURE = "failure.txt"
"""Name of the message of a run that failed in its folder."""

FILMS = (f"{Path(FILM_FILE).stem}{COMPARE_SUFFIX}.mp4", FILM_FILE)
"""Names of a film in its run folder, the one that is shown first."""

State = Literal["done", "failed", "begun", "new"]


def state(folder: Path) -> State:
    """How far the run of a folder has come."""
    if (folder / FAILURE).exists():
        return "failed"
    made = summary(folder)
    if made is not None and made["steps"] >= made["planned"] and picture(folder).exists():
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
    """The file of a run's picture, at its end or after a step; of a film, the film."""
    if step is not None:
        return folder / snapshot_name(step)
    films = [folder / name for name in FILMS if (folder / name).exists()]
    return films[0] if films else folder / RESULT


def still(file: Path) -> Path:
    """What stands for the file of a run's picture on paper: a film's frame in its middle, a picture itself."""
    if file.name not in FILMS:
        return file
    frames = sorted((file.parent / FRAMES_FOLDER).iterdir())
    return frames[len(frames) // 2]
