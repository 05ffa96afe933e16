"""A resolved study: its runs and their places in figures."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nst_lightning.data.plan import Plan
from nst_lightning.study.spec.declaration import Section, Study
from nst_lightning.study.spec.grid import Layout
from nst_lightning.study.spec.resolve import Configuration


@dataclass(frozen=True)
class StudyRun:
    """A run of a study. Two runs are equal if their keys and labels are.

    Attributes:
        key: hash of everything that decides the pictures; the name of the run folder.
        label: name of the run on the page and in the terminal.
        configuration: configuration of `fit` with all options.
    """

    key: str
    label: str
    configuration: Configuration = field(compare=False, hash=False)

    @property
    def steps(self) -> int:
        """Steps of the run's plan for a still, at most ``trainer.max_steps``; a measure of its length."""
        steps = planned_steps(self.configuration)
        most: int = self.configuration["trainer"]["max_steps"]
        return steps if most < 0 else min(steps, most)

    def folder(self, output: Path) -> Path:
        """The run folder, ``output/runs/KEY``.

        Args:
            output: folder of the study.
        """
        return output / "runs" / self.key


def planned_steps(configuration: Configuration) -> int:
    """Returns the number of steps at all sizes of a plan, for a still or the first frame of a film.

    Args:
        configuration: configuration of `fit` with all options.
    """
    return sum(stage.steps for stage in Plan(**configuration["data"]["plan"]).stages())


@dataclass(frozen=True)
class Cell:
    """A picture in a figure.

    Attributes:
        run: the run that paints the picture.
        step: step of a snapshot, or None for the picture at the end of the run.
        alt: description of the picture in words.
    """

    run: StudyRun
    step: int | None
    alt: str


@dataclass(frozen=True)
class Figure:
    """A grid of pictures.

    Attributes:
        layout: the variants of rows and columns.
        cells: cells by row and column number; a place may be empty.
    """

    layout: Layout
    cells: dict[tuple[int, int], Cell]

    @property
    def caption(self) -> str:
        """The labels that all cells share."""
        return ", ".join(variant.label for variant in self.layout.common.values())

    def option_values(self, *keys: str) -> list[Any]:
        """Returns the distinct values of an option over all runs, in the order of the cells.

        Args:
            keys: keys that lead to the option in the nested configuration.
        """
        values: list[Any] = []
        for cell in self.cells.values():
            value: Any = cell.run.configuration
            for key in keys:
                value = value[key]
            if value is not None and value not in values:
                values.append(value)
        return values


@dataclass(frozen=True)
class ResolvedSection:
    """A section with its figures.

    Attributes:
        section: the declaration.
        figures: the figures in the order of the page.
        notes: sentences that the page shows above the figures.
    """

    section: Section
    figures: list[Figure]
    notes: list[str]

    @property
    def runs(self) -> list[StudyRun]:
        """Every run of the section once."""
        return _unique_runs([self])


@dataclass(frozen=True)
class ResolvedStudy:
    """A study with all its runs.

    Attributes:
        study: the declaration.
        sections: the resolved sections in the order of the page.
    """

    study: Study
    sections: list[ResolvedSection]

    @property
    def runs(self) -> list[StudyRun]:
        """Every run once, in the order of the page."""
        return _unique_runs(self.sections)


def _unique_runs(sections: Iterable[ResolvedSection]) -> list[StudyRun]:
    """Returns every run once, with the label of its first cell."""
    runs: dict[str, StudyRun] = {}
    for section in sections:
        for figure in section.figures:
            for cell in figure.cells.values():
                runs.setdefault(cell.run.key, cell.run)
    return list(runs.values())
