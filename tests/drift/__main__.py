"""Watches long runs for drift of memory, file handles and time: ``python -m tests.drift`` prints a table."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nst_lightning.images.io import write_image
from nst_lightning.samples.drawing.clip import RATE, Clip
from nst_lightning.video.writer import Timing, write_film
from tests.drift.samples import STEP_FILE, Drift, watch
from tests.helpers import ENVIRONMENT, smooth_image, write_pair
from tests.soak.kinds import FILM, PICTURE

# Steps of the first frame of the film and of each further one.
FIRST_STEPS, FOLLOWING_STEPS = 20, 8


@dataclass(frozen=True)
class LongRun:
    """A run to watch.

    Attributes:
        command: arguments of the command that starts it.
        steps: how many it makes.
    """

    command: list[str]
    steps: int


def create_runs(steps: int, frames: int) -> dict[str, LongRun]:
    """Returns a still of a number of steps and a film of a number of frames by their names."""
    # Checkpoints as often as a user has them.
    still = [*PICTURE, f"--data.plan.steps={steps}", "--checkpoints.every_n_steps=100"]
    film = [*FILM, "--data.plan.size=64", f"--data.plan.steps={FIRST_STEPS}"]
    film += [f"--data.plan.following_steps={FOLLOWING_STEPS}", "--checkpoints.every_n_steps=100"]
    return {
        "picture": LongRun(still, steps),
        "film": LongRun(film, FIRST_STEPS + (frames - 1) * FOLLOWING_STEPS),
    }


def write_long_film(path: Path, frames: int) -> None:
    """Writes a silent film that goes forth and back through a clip, so that it has no cut."""
    clip = Clip(width=64, height=48)
    pictures = [clip.picture(number) for number in range(clip.frames)]
    pictures += pictures[-2:0:-1]
    timing = Timing([Fraction(number, RATE) for number in range(frames)], Fraction(frames, RATE))
    write_film(path, (pictures[number % len(pictures)] for number in range(frames)), timing)


def watch_run(run: LongRun, every_seconds: float = 0.5) -> tuple[Drift, float]:
    """Paints a run in the current folder; returns its drift and the seconds that it takes.

    Raises:
        RuntimeError: the run fails.
    """
    begin = time.monotonic()
    Path(STEP_FILE).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "nst_lightning", *run.command, "--trainer.callbacks+=tests.drift.samples.StepCounter"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        samples = watch(process, every_seconds)
        _, errors = process.communicate()
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(f"The run ends with status {process.returncode}: {errors}")
    return Drift.measure(samples, run.steps), time.monotonic() - begin


def format_table(drifts: dict[str, tuple[int, float, Drift]]) -> str:
    """Returns steps, seconds and drifts by kind as a Markdown table."""
    lines = ["| kind | steps | seconds | memory | growth | handles | time of a step | growth | drifts |"]
    lines.append("|---" * 9 + "|")
    for name, (steps, seconds, drift) in drifts.items():
        memory = " to ".join(f"{value / 2**20:.1f}" for value in drift.memory)
        handles = " to ".join(map(str, drift.handles))
        times = " to ".join(f"{1000 * value:.2f}" for value in drift.seconds)
        failures = ", ".join(drift.list_failures()) or "none"
        lines.append(
            f"| {name} | {steps} | {seconds:.0f} | {memory} MiB | {drift.memory_growth:+.1%} | {handles} "
            f"| {times} ms | {drift.time_growth:+.1%} | {failures} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Watches the runs and returns the exit status: 1 if something drifts."""
    parser = argparse.ArgumentParser(prog="python -m tests.drift", description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="of the picture")
    parser.add_argument("--frames", type=int, default=1000, help="of the film")
    parser.add_argument("--kinds", nargs="*", default=["picture", "film"], choices=["picture", "film"])
    options = parser.parse_args()
    runs, drifts, before = create_runs(options.steps, options.frames), {}, Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_pair(Path())
            write_image("style.png", smooth_image(30, 36, seed=2))
            if "film" in options.kinds:
                write_long_film(Path("clip.mp4"), options.frames)
            for name in options.kinds:
                drift, seconds = watch_run(runs[name])
                drifts[name] = runs[name].steps, seconds, drift
        finally:
            os.chdir(before)
    print(format_table(drifts))
    return 1 if any(drift.list_failures() for _, _, drift in drifts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
