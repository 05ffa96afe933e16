"""Which runs a study needs and where their pictures stand."""

import importlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nst_lightning.backbones import Backbone
from nst_lightning.errors import InputError
from nst_lightning.losses.base import IMAGE
from nst_lightning.study.spec.declaration import STEP, Section, Study
from nst_lightning.study.spec.grid import Combination, Layout, layouts
from nst_lightning.study.spec.resolve import Configuration, Resolver, check_axis, digest

SIZE = "data.plan.size"
STEPS = "data.plan.steps"


@dataclass(frozen=True)
class Run:
    """A picture to paint.

    Attributes:
        key: of what decides the picture; the name of its folder.
        label: what it is called in a table and in the line that says it is done.
        configuration: of `fit`.
    """

    key: str
    label: str
    configuration: Configuration = field(compare=False, hash=False)

    @property
    def steps(self) -> int:
        """Evaluations of its plan's largest size; a measure of its length."""
        steps: int = self.configuration["data"]["plan"]["steps"]
        return steps

    def folder(self, output: Path) -> Path:
        """Where its files are."""
        return output / "runs" / self.key


@dataclass(frozen=True)
class Cell:
    """A place of a figure.

    Attributes:
        run: whose picture stands there.
        step: after which, or None for its end.
        alt: the picture in words.
    """

    run: Run
    step: int | None
    alt: str


@dataclass(frozen=True)
class Figure:
    """A figure: its sides, and what stands where. A place may be empty."""

    layout: Layout
    cells: dict[tuple[int, int], Cell]

    @property
    def caption(self) -> str:
        """What is the same in all of it."""
        return ", ".join(variant.label for variant in self.layout.common.values())

    def common(self, *names: str) -> list[Any]:
        """Values of an option, by its way down the configuration, in the order in which they first occur."""
        found: list[Any] = []
        for cell in self.cells.values():
            value: Any = cell.run.configuration
            for name in names:
                value = value[name]
            if value is not None and value not in found:
                found.append(value)
        return found


@dataclass(frozen=True)
class Part:
    """A section with its figures and what the page has to say beside them."""

    section: Section
    figures: list[Figure]
    notes: list[str]


@dataclass(frozen=True)
class ResolvedStudy:
    """A study, resolved."""

    study: Study
    parts: list[Part]

    @property
    def runs(self) -> list[Run]:
        """Every run once, in the order of the page, by the label it has there first."""
        return distinct(cell for part in self.parts for figure in part.figures for cell in figure.cells.values())


def distinct(cells: Iterable[Cell]) -> list[Run]:
    """The runs of cells, each once, with the label that it has first."""
    runs: dict[str, Run] = {}
    for cell in cells:
        runs.setdefault(cell.run.key, cell.run)
    return list(runs.values())


class Planner:
    """Resolves every run of a study, and so finds every mistake before one is painted.

    Args:
        folders: where configuration files of sections are looked for, in this order.
        size: long edge of all pictures in px, before what the configurations say.
    """

    def __init__(self, folders: Iterable[Path], size: int | None = None) -> None:
        self.folders = list(folders)
        self.size = {} if size is None else {SIZE: size}
        self.resolver = Resolver()

    def plan(self, study: Study) -> ResolvedStudy:
        """The runs of a study.

        Raises:
            InputError: something in it cannot be used.
        """
        if not study.sections:
            raise InputError("Expected a study to have `sections`, but this one has none.")
        return ResolvedStudy(study, [self._part(study, section) for section in study.sections])

    def _part(self, study: Study, section: Section) -> Part:
        files = [self._find(name) for name in section.configs]
        options = study.overrides | section.overrides | self.size
        self._check_axes(section, self.resolver.resolve(files, options))
        notes: dict[str, None] = {}
        figures = [self._figure(section, layout, files, options, notes) for layout in layouts(section)]
        return Part(section, figures, list(notes))

    def _check_axes(self, section: Section, configuration: Configuration) -> None:
        for layout in layouts(section):
            for _, _, combination in layout.cells():
                for option in itertools.chain.from_iterable(v.options for v in combination.values()):
                    if option != STEP:
                        check_axis(option, configuration)

    def _figure(
        self,
        section: Section,
        layout: Layout,
        files: list[Path],
        options: Mapping[str, Any],
        notes: dict[str, None],
    ) -> Figure:
        cells = {}
        for row, column, combination in layout.cells():
            cell = self._cell(section, combination, files, options, notes)
            if cell is not None:
                cells[row, column] = cell
        return Figure(layout, cells)

    def _cell(
        self,
        section: Section,
        combination: Combination,
        files: list[Path],
        options: Mapping[str, Any],
        notes: dict[str, None],
    ) -> Cell | None:
        chosen: dict[str, Any] = dict(options)
        for variant in combination.values():
            chosen |= variant.options
        step = chosen.pop(STEP, None)
        configuration = self.resolver.resolve(files, chosen)
        if section.missing_layers == "drop":
            notes |= dict.fromkeys(drop_missing_layers(configuration))
        steps = configuration["data"]["plan"]["steps"]
        if step is not None and step > steps:
            return None
        shown = [n for n in section.snapshots if n < steps]
        configuration["snapshots"] = {"at_steps": sorted({*configuration["snapshots"]["at_steps"], *shown})}
        run = Run(digest(configuration), _label(section, combination), configuration)
        return Cell(run, None if step == steps else step, _alt(section, combination))

    def _find(self, name: str) -> Path:
        for folder in self.folders:
            if (folder / name).is_file():
                return folder / name
        where = " or ".join(map(str, self.folders))
        raise InputError(f"Expected a configuration file {name} in {where}, but there is none.")


def _label(section: Section, combination: Combination) -> str:
    parts = [variant.label for variant in combination.values() if variant.axis != STEP]
    return ", ".join([section.title, *parts])


def _alt(section: Section, combination: Combination) -> str:
    return ", ".join([section.title, *(variant.label for variant in combination.values())])


def drop_missing_layers(configuration: Configuration) -> list[str]:
    """Takes the layers that the network does not have out of a configuration's terms, and says so.

    Args:
        configuration: changed in place.

    Returns:
        A sentence for each term that was changed.
    """
    backbone = network(configuration["model"]["backbone"])
    sentences = []
    for term in configuration["model"]["losses"].values():
        layers = term["init_args"].get("layers") or []
        missing = [layer for layer in layers if layer != IMAGE and layer not in backbone.layer_names]
        if missing:
            term["init_args"]["layers"] = [layer for layer in layers if layer not in missing]
            last = [name for name in backbone.layer_names if name.startswith("conv_")][-1]
            sentences.append(f"{type(backbone).__name__} ends at {last}: {', '.join(missing)} left out.")
    return sentences


def network(described: dict[str, Any]) -> Backbone:
    """A network that is not built yet but knows the names of its layers."""
    module, _, name = described["class_path"].rpartition(".")
    made: Backbone = getattr(importlib.import_module(module), name)(**described.get("init_args", {}))
    return made
