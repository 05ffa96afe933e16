"""Runs of the transfer recipe whose summary is read."""

import json
from pathlib import Path
from typing import Any

from nst_lightning.__main__ import main
from tests.helpers import QUICK, TRANSFER


def paint_and_read_summary(*args: str, name: str) -> dict[str, Any]:
    """Runs the transfer recipe on the pictures in the current folder and returns the summary of the run."""
    recipe = f"--config={TRANSFER}"
    pictures = ["--data.content=content.png", "--data.style=style.png"]
    assert main(["fit", recipe, *QUICK, *pictures, f"--trainer.logger.init_args.name={name}", *args]) == 0
    actual: dict[str, Any] = json.loads(Path("logs", name, "version_0", "summary.json").read_text())
    return actual
