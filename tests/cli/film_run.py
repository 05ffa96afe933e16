"""Runs of `fit` that paint a small film, in the current folder."""

import json
import subprocess
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor

from nst_lightning.images.io import read_image
from nst_lightning.samples.drawing.clip import Clip
from tests import helpers
from tests.helpers import CONFIGS

CLIP = Clip(frames=5, width=40, height=32)
CLIP_FILE = "clip.mp4"
OPTIONS = [
    "fit",
    f"--config={CONFIGS / 'video.yaml'}",
    f"--data.content={CLIP_FILE}",
    "--data.style=style.png",
    "--data.plan.size=40",
    "--data.plan.steps=4",
    "--data.plan.following_steps=3",
    "--model.backbone=tests.helpers.TinyBackbone",
    "--model.losses.content.layers=[conv_2]",
    "--model.losses.style.layers=[conv_1,conv_3]",
    "--model.losses.disocclusion.layers=[conv_1,conv_3]",
    "--trainer.precision=32-true",
]


def start_film(*args: str) -> subprocess.Popen[str]:
    """Starts a run in another process."""
    return helpers.start_command(*OPTIONS, *args)


def run_folder(number: int = 0) -> Path:
    """Returns the folder of a run."""
    return Path("logs/video") / f"version_{number}"


def read_film_summary(number: int = 0) -> dict[str, Any]:
    """Reads the summary of the film of a run."""
    summary: dict[str, Any] = json.loads((run_folder(number) / "summary.json").read_text())["film"]
    return summary


def read_frames(number: int = 0) -> list[Tensor]:
    """Reads the painted frames of a run."""
    return [read_image(path).image for path in sorted((run_folder(number) / "frames").glob("*.png"))]


def read_events(number: int = 0) -> EventAccumulator:
    """Reads the TensorBoard events of a run."""
    return helpers.read_events(run_folder(number), scalars=0)


def assert_same_films(count: int = 5) -> None:
    """Checks that the first two runs have painted the same frames, film and summary."""
    # Compared as pixels, since a PNG contains the time at which its color profile was created.
    assert all(torch.equal(*frames) for frames in zip(read_frames(0), read_frames(1), strict=True))
    assert len(read_frames(0)) == count
    assert (run_folder(0) / "film.mp4").read_bytes() == (run_folder(1) / "film.mp4").read_bytes()
    without_times = [[{**r, "seconds": 0} for r in read_film_summary(number)["per_frame"]] for number in (0, 1)]
    assert without_times[0] == without_times[1]
