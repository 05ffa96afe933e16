"""The notebook runs from top to bottom."""

import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from nst_lightning.__main__ import main
from tests.helpers import CONFIGS, QUICK, QUICK_FILM

TOUR = CONFIGS / "tour.ipynb"
NOTEBOOK = json.loads(TOUR.read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
TEXTS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown"]


class Display:
    """Takes the place of IPython's display and counts the pictures that it is given."""

    shown: list[Image.Image]

    def display(self, picture: Image.Image) -> None:
        type(self).shown.append(picture)

    update = display


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Image.Image]:
    """The pictures that appear while a cell paints."""
    Display.shown = []
    module = ModuleType("IPython.display")
    monkeypatch.setattr(module, "DisplayHandle", Display, raising=False)
    monkeypatch.setattr(module, "Video", lambda path, embed: Path(path).read_bytes(), raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return Display.shown


def run_cell(cell: str, names: dict[str, Any]) -> object:
    """Runs a cell with small pictures and returns the value of its last line."""
    if cell.startswith("!python -m nst_lightning"):
        return main([*shlex.split(cell.replace("\\\n", " "))[3:], *QUICK, *QUICK_FILM])
    quick = re.sub(r"\bsize=\d+", "size=32, steps=2", cell)
    *lines, last = quick.splitlines()
    is_value = not re.match(r"\s|import |from |\w+ = |picture\.save", last)
    exec(compile("\n".join(lines if is_value else [*lines, last]), TOUR.name, "exec"), names)
    return eval(last, names) if is_value else None


def test_cells_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: list[Image.Image]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "tour"}
    values = [run_cell(cell, names) for cell in CELLS]
    pictures = [value for value in values if isinstance(value, Image.Image)]
    assert len(pictures) == 3
    assert all(max(picture.size) == 32 for picture in pictures)
    assert shown
    assert Path("landscape.png").is_file()
    assert values[-2] == 0
    assert isinstance(values[-1], bytes)


def test_loss_has_ten_lines() -> None:
    (cell,) = [cell for cell in CELLS if "class " in cell]
    code = cell[cell.index("from ") : cell.index("style = ")]
    assert len(code.strip().splitlines()) <= 10


def test_notebook_has_no_outputs_and_its_links_resolve() -> None:
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in NOTEBOOK["cells"])
    assert TOUR.stat().st_size < 10_000
    links = [link.partition("#")[0] for text in TEXTS for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert links
    assert [link for link in links if not (CONFIGS / link).exists()] == []
