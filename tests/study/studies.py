"""Small studies for tests."""

import csv
import subprocess
from pathlib import Path
from typing import Any

import torch
import yaml

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image
from nst_lightning.study.spec.study_files import read_study
from nst_lightning.study.spec.study_resolver import StudyResolver
from tests.helpers import PAUSING_LBFGS, TRANSFER, start_command, write_pair


def create_section(**declared: Any) -> dict[str, Any]:
    """Returns a section with two style weights, 32 px and 4 steps, for the files of :func:`write_pair`."""
    small: dict[str, Any] = {
        "title": "Sweep",
        "config": TRANSFER,
        "axes": {"model.losses.style.weight": [10, 1e6]},
        "data": {"content": "content.png", "style": "style.png", "plan": {"size": 32, "steps": 4}},
    }
    return small | declared


def write_study(folder: Path, *sections: dict[str, Any], **declared: Any) -> Path:
    """Writes a study and its pictures into a folder."""
    write_pair(folder)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"title": "A study", "sections": list(sections)} | declared))
    return path


def run_study(*args: str, output: str = "out", study: str = "study.yaml") -> int:
    """Runs the `study` command in the current folder and returns its exit status."""
    return main(["study", f"--config={study}", f"--output={output}", *args])


def create_pausing_section(folder: Path, steps: int, pause_at: int, **declared: Any) -> dict[str, Any]:
    """Returns a section whose process pauses in one of its steps; its runs have a checkpoint every 3 steps.

    Args:
        folder: the current folder, for the configuration of the section.
        steps: of each run.
        pause_at: see :class:`tests.helpers.PausingLBFGS`.
        declared: further keys of the section.
    """
    config = yaml.safe_load(Path(TRANSFER).read_text()) | {"checkpoints": {"every_n_steps": 3}}
    config["model"]["optimizer"] = {"class_path": PAUSING_LBFGS, "init_args": {"pause_at": pause_at}}
    (folder / "pausing.yaml").write_text(yaml.safe_dump(config))
    data = {"content": "content.png", "style": "style.png", "plan": {"size": 32, "steps": steps}}
    return create_section(config="pausing.yaml", data=data, **declared)


def start_study(*args: str, output: str = "out") -> subprocess.Popen[str]:
    """Starts the `study` command in another process."""
    return start_command("study", "--config=study.yaml", f"--output={output}", *args)


def list_run_folders(output: str = "out") -> list[Path]:
    """Returns the folders of all runs of a study."""
    return sorted((Path(output) / "runs").iterdir())


def read_pictures(output: str) -> dict[str, torch.Tensor]:
    """Reads all pictures of the runs of a study."""
    return {
        str(path.relative_to(output)): read_image(path).image for path in sorted(Path(output).rglob("runs/*/*.png"))
    }


def read_results(output: str = "out") -> list[dict[str, str]]:
    """Reads the table of a study."""
    with (Path(output) / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def resolve_study(folder: Path, *sections: dict[str, Any], **declared: Any) -> Any:
    """Writes a study and its pictures into a folder and resolves it."""
    return StudyResolver([folder]).resolve(read_study([str(write_study(folder, *sections, **declared))]))
