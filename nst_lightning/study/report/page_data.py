"""The content of a page as plain data for its template."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from nst_lightning.data.style_source import parse_styles
from nst_lightning.images.opening import suspend_pillow_limit
from nst_lightning.study.engine.run_records import FILM_FILES, picture_path, read_failure, read_status, read_summary
from nst_lightning.study.report.input_copies import InputCopies
from nst_lightning.study.spec.grid import Variant
from nst_lightning.study.spec.resolved_study import Cell, Figure, ResolvedSection, ResolvedStudy, StudyRun


@dataclass
class LabeledImage:
    """A label with an optional picture: a header of a figure, an input, or a plot."""

    label: str
    src: str = ""
    alt: str = ""


@dataclass
class TileView:
    """A place of a figure with a picture, a film, an error message, or nothing yet.

    Attributes:
        alt: description in words.
        short: labels of row and column, shown on narrow screens.
        src: path of the picture or film, relative to the page; empty if it is not painted yet.
        content: path of the content, for the comparison.
        style: path of the style, for the comparison.
        message: error message of the run.
        film: whether ``src`` is a film.
        width: width of the picture in px.
        height: height of the picture in px.
    """

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
    """A figure with its headers and the inputs that the headers do not show."""

    caption: str
    sheet: str
    rows: list[LabeledImage]
    columns: list[LabeledImage]
    columns_count: int
    grid: list[list[TileView | None]]
    inputs: list[LabeledImage]


@dataclass
class SectionView:
    """A section with its figures and plots."""

    anchor: str
    title: str
    text: str
    notes: list[str]
    figures: list[FigureView] = field(default_factory=list)
    plots: list[LabeledImage] = field(default_factory=list)


@dataclass
class TableRow:
    """A run in the table of all runs, as text."""

    label: str
    folder: str
    config: str
    message: str
    steps: str
    seconds: str
    losses: list[str]


class PageDataBuilder:
    """Collects the content of a page from a resolved study and its folder.

    Args:
        output: folder of the study.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._inputs = InputCopies(output)

    def build_figure(self, figure: Figure, sheet: str) -> FigureView:
        """Builds a figure with the pictures that are painted so far.

        Args:
            figure: the figure.
            sheet: path of its contact sheet, relative to the page.
        """
        rows, columns = figure.layout.rows, figure.layout.columns
        return FigureView(
            caption=figure.caption,
            sheet=sheet,
            rows=self._build_headers(rows),
            columns=self._build_headers(columns),
            columns_count=len(columns),
            grid=[[self._build_tile(figure, r, c) for c in range(len(columns))] for r in range(len(rows))],
            inputs=self._build_inputs(figure),
        )

    def build_table_row(self, run: StudyRun, terms: list[str]) -> TableRow:
        """Builds a row of the table of all runs.

        Args:
            run: the run.
            terms: names of the columns with losses.
        """
        folder = run.folder(self.output)
        summary = read_summary(folder) or {"losses": {}, "steps": 0, "planned": run.steps, "seconds": 0.0}
        src = folder.relative_to(self.output).as_posix()
        steps, planned = summary["steps"], summary["planned"]
        return TableRow(
            label=run.label,
            folder=src,
            config=f"{src}/config.yaml",
            message=read_failure(folder),
            steps=str(steps) if steps == planned else f"{steps} of {planned}",
            seconds=f"{summary['seconds']:.1f}",
            losses=[f"{summary['losses'][term]:.4g}" if term in summary["losses"] else "" for term in terms],
        )

    def _build_headers(self, variants: list[Variant | None]) -> list[LabeledImage]:
        return [LabeledImage(v.label, self._inputs.path(v.picture)) for v in variants if v is not None]

    def _build_inputs(self, figure: Figure) -> list[LabeledImage]:
        """Builds the contents and styles that the headers of a figure do not show."""
        in_headers = {v.axis for v in [*figure.layout.rows, *figure.layout.columns] if v is not None and v.picture}
        images = []
        for name in ("content", "style"):
            values = [] if f"data.{name}" in in_headers else figure.option_values("data", name)
            for file in dict.fromkeys(file for value in values for file in _list_files(value)):
                src = self._inputs.path(file)
                if src:
                    images.append(LabeledImage(name, src, f"The {name}"))
        return images

    def _build_tile(self, figure: Figure, row: int, column: int) -> TileView | None:
        cell = figure.cells.get((row, column))
        if cell is None:
            return None
        labels = [v.label for v in (figure.layout.rows[row], figure.layout.columns[column]) if v is not None]
        message = read_failure(cell.run.folder(self.output))
        tile = TileView(cell.alt, ", ".join(labels) or figure.caption, message=message)
        if not message:
            self._add_picture(tile, cell)
        return tile

    def _add_picture(self, tile: TileView, cell: Cell) -> None:
        folder = cell.run.folder(self.output)
        file = picture_path(folder, cell.step)
        # The result of an interrupted run exists, but is not its end.
        if not file.exists() or (cell.step is None and read_status(folder) != "done"):
            return
        tile.src = file.relative_to(self.output).as_posix()
        tile.film = file.name in FILM_FILES
        if tile.film:
            return
        with suspend_pillow_limit(), Image.open(file) as image:
            tile.width, tile.height = image.size
        data = cell.run.configuration["data"]
        tile.content = self._inputs.path(data["content"], (tile.height, tile.width))
        styles = _list_files(data["style"])
        tile.style = self._inputs.path(styles[0]) if styles else ""


def _list_files(value: Any) -> list[str]:
    """Lists the files that the value of ``data.content`` or ``data.style`` names."""
    return [str(style.file) for style in parse_styles(value)]


def collect_terms(study: ResolvedStudy, output: Path) -> list[str]:
    """Collects the names of all terms of all runs, ``total`` first."""
    names = {"total": None}
    for run in study.runs:
        summary = read_summary(run.folder(output))
        names |= dict.fromkeys(summary["losses"] if summary else ())
    return list(names)


def collect_curves(section: ResolvedSection, output: Path) -> dict[str, dict[str, Any]]:
    """Collects the loss curves of a section by the labels of its runs, without the title of the section."""
    curves = {}
    for run in section.runs:
        summary = read_summary(run.folder(output))
        if summary is not None and summary["curves"].get("total"):
            curves[run.label.removeprefix(f"{section.section.title}, ")] = summary["curves"]
    return curves


def describe_progress(study: ResolvedStudy, output: Path) -> str:
    """Describes in a sentence how many runs are done and how long they took."""
    folders = [run.folder(output) for run in study.runs]
    statuses = [read_status(folder) for folder in folders]
    failed = f", {statuses.count('failed')} failed" if "failed" in statuses else ""
    total = sum(summary["seconds"] for folder in folders if (summary := read_summary(folder)) is not None)
    minutes, seconds = divmod(round(total), 60)
    duration = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{statuses.count('done')} of {len(statuses)} runs done{failed}; painted in {duration}."
