"""What a page shows, as plain data for its template."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from nst_lightning.study.engine.records import FILMS, failure, picture, state, summary
from nst_lightning.study.report.inputs import Inputs
from nst_lightning.study.spec.grid import Variant
from nst_lightning.study.spec.plan import Cell, Figure, Part, ResolvedStudy, Run, distinct


@dataclass
class Side:
    """What stands at a figure's side, or before it: a word and perhaps a picture."""

    label: str
    src: str = ""
    alt: str = ""


@dataclass
class Tile:
    """A place of a figure."""

    alt: str
    short: str
    src: str = ""
    content: str = ""
    style: str = ""
    message: str = ""
    film: bool = False
    width: int = 0
    height: int = 0


@dataclass
class FigureView:
    """A figure."""

    caption: str
    sheet: str
    rows: list[Side]
    columns: list[Side]
    columns_count: int
    grid: list[list[Tile | None]]
    inputs: list[Side]


@dataclass
class SectionView:
    """A section."""

    anchor: str
    title: str
    text: str
    notes: list[str]
    figures: list[FigureView] = field(default_factory=list)
    plots: list[Side] = field(default_factory=list)


@dataclass
class RunView:
    """A line of the table."""

    label: str
    folder: str
    config: str
    message: str
    steps: str
    seconds: str
    losses: list[str]


class Viewer:
    """Turns a resolved study and its folder into what the template shows.

    Args:
        output: the study's folder.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.inputs = Inputs(output)

    def figure(self, figure: Figure, sheet: str) -> FigureView:
        """A figure with the tiles that are painted so far."""
        rows, columns = figure.layout.rows, figure.layout.columns
        grid = [[self._tile(figure, r, c) for c in range(len(columns))] for r in range(len(rows))]
        return FigureView(
            figure.caption, sheet, self._sides(rows), self._sides(columns), len(columns), grid, self._before(figure)
        )

    def _sides(self, variants: list[Variant | None]) -> list[Side]:
        return [Side(v.label, self.inputs.src(v.picture, None) if v.picture else "") for v in variants if v is not None]

    def _before(self, figure: Figure) -> list[Side]:
        """The contents and styles that the figure's sides do not show."""
        at_sides = {v.axis for v in [*figure.layout.rows, *figure.layout.columns] if v is not None and v.picture}
        sides = []
        for name in ("content", "style"):
            values = [] if f"data.{name}" in at_sides else figure.common("data", name)
            files = [file for value in values for file in (value if isinstance(value, list) else [value])]
            for file in dict.fromkeys(files):
                src = self.inputs.src(file, None)
                if src:
                    sides.append(Side(name, src, f"The {name}"))
        return sides

    def _tile(self, figure: Figure, row: int, column: int) -> Tile | None:
        cell = figure.cells.get((row, column))
        if cell is None:
            return None
        sides = [v.label for v in (figure.layout.rows[row], figure.layout.columns[column]) if v is not None]
        tile = Tile(cell.alt, ", ".join(sides) or figure.caption, message=failure(cell.run.folder(self.output)))
        if not tile.message:
            self._show(tile, cell)
        return tile

    def _show(self, tile: Tile, cell: Cell) -> None:
        file = picture(cell.run.folder(self.output), cell.step)
        if not file.exists() or (cell.step is None and state(cell.run.folder(self.output)) != "done"):
            return
        tile.src = file.relative_to(self.output).as_posix()
        tile.film = file.name in FILMS
        if tile.film:
            return
        with Image.open(file) as image:
            tile.width, tile.height = image.size
        data = cell.run.configuration["data"]
        shape = (tile.height, tile.width)
        tile.content = self.inputs.src(data["content"], shape)
        styles = data["style"] if isinstance(data["style"], list) else [data["style"]]
        tile.style = self.inputs.src(styles[0], None) if styles else ""

    def run(self, run: Run, terms: list[str]) -> RunView:
        """A line of the table."""
        folder = run.folder(self.output)
        made = summary(folder) or {"losses": {}, "steps": 0, "planned": run.steps, "seconds": 0.0}
        at = folder.relative_to(self.output).as_posix()
        steps = str(made["steps"]) if made["steps"] == made["planned"] else f"{made['steps']} of {made['planned']}"
        losses = [f"{made['losses'][term]:.4g}" if term in made["losses"] else "" for term in terms]
        return RunView(run.label, at, f"{at}/config.yaml", failure(folder), steps, f"{made['seconds']:.1f}", losses)


def terms_of(plan: ResolvedStudy, output: Path) -> list[str]:
    """Every term of any run's objective, `total` first."""
    names = {"total": None}
    for run in plan.runs:
        made = summary(run.folder(output))
        names |= dict.fromkeys(made["losses"] if made else ())
    return list(names)


def section_runs(part: Part) -> list[Run]:
    """The runs of a section, each once, by their labels there."""
    return distinct(cell for figure in part.figures for cell in figure.cells.values())


def counted(plan: ResolvedStudy, output: Path) -> str:
    """How much of a study is done, in a sentence."""
    states = [state(run.folder(output)) for run in plan.runs]
    seconds = sum(made["seconds"] for run in plan.runs if (made := summary(run.folder(output))) is not None)
    failed = f", {states.count('failed')} failed" if "failed" in states else ""
    return f"{states.count('done')} of {len(states)} runs done{failed}; painted in {_duration(seconds)}."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def curves_of(runs: list[Run], output: Path, title: str) -> dict[str, dict[str, Any]]:
    """The curves of runs by their labels, without the section's title."""
    curves = {}
    for run in runs:
        made = summary(run.folder(output))
        if made is not None and made["curves"].get("total"):
            curves[run.label.removeprefix(f"{title}, ")] = made["curves"]
    return curves
