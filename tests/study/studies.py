"""Small studies for tests."""

import csv
from pathlib import Path
from typing import Any

import yaml

from nst_lightning.__main__ import main
from tests.tiny import write_pair

ROOT = Path(__file__).parents[2]
TRANSFER = str(ROOT / "configs" / "transfer.yaml")


def create_section(**declared: Any) -> dict[str, Any]:
    """A sweep of two style weights, 32 px, 4 steps, of the pair of :func:`tests.tiny.write_pair`."""
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
    """The command on the study of the current directory."""
    return main(["study", f"--config={study}", f"--output={output}", *args])


def read_results(output: str = "out") -> list[dict[str, str]]:
    """The table."""
    with (Path(output) / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))
