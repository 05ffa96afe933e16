"""Resolves a study: from its declaration to the configuration of every run."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nst_lightning.errors import InputError, UsageError
from nst_lightning.study.spec.config_files import locate_config
from nst_lightning.study.spec.declaration import STEP_AXIS, Section, Study
from nst_lightning.study.spec.grid import Combination, create_layouts
from nst_lightning.study.spec.missing_layers import drop_missing_layers
from nst_lightning.study.spec.resolve import Configuration, ConfigurationResolver, check_axis
from nst_lightning.study.spec.resolved_study import (
    Cell,
    Figure,
    ResolvedSection,
    ResolvedStudy,
    StudyRun,
    planned_steps,
)
from nst_lightning.study.spec.run_key import run_key
from nst_lightning.system.threads import Threads

SIZE_OPTION = "data.plan.size"


class StudyResolver:
    """Resolves studies. Every run is parsed, so that mistakes are reported before a run starts.

    Args:
        folders: folders in which configuration files are looked up, in the order of their precedence.
        size: long edge of all pictures in px. Default: as configured.
        key: function that returns the key of a run.
        threads: number of threads of all runs. Default: as configured.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        size: int | None = None,
        key: Callable[[Configuration], str] = run_key,
        threads: Threads | None = None,
    ) -> None:
        self.folders = list(folders)
        options = {SIZE_OPTION: size, "threads": threads}
        self.overrides = {name: value for name, value in options.items() if value is not None}
        self.key = key
        self._configurations = ConfigurationResolver()

    def resolve(self, study: Study) -> ResolvedStudy:
        """Resolves a study.

        Raises:
            InputError: the study has no sections, or a value in it cannot be used.
        """
        if not study.sections:
            raise InputError(
                "Expected --config with the file of a study, or --contents and --styles, but got no `sections`."
            )
        return ResolvedStudy(study, [self._resolve_section(study, section) for section in study.sections])

    def _resolve_section(self, study: Study, section: Section) -> ResolvedSection:
        files = [locate_config(name, self.folders) for name in section.configs]
        options = study.overrides | section.overrides | self.overrides
        layouts = create_layouts(section)
        configuration = self._configurations.resolve(files, options)
        for layout in layouts:
            for _, _, combination in layout.cells():
                for variant in combination.values():
                    for option in variant.options:
                        if option != STEP_AXIS:
                            check_axis(option, configuration)

        figures, notes = [], dict[str, None]()
        for layout in layouts:
            cells = {}
            for row, column, combination in layout.cells():
                cell = self._resolve_cell(section, combination, files, options, notes)
                if cell is not None:
                    cells[row, column] = cell
            figures.append(Figure(layout, cells))
        if not any(figure.cells for figure in figures):
            raise UsageError(
                f"Expected `snapshots` of {section.title!r} that its runs reach, but all runs end before step "
                f"{min(section.snapshots)}: lower them, or raise data.plan.steps."
            )
        return ResolvedSection(section, figures, list(notes))

    def _resolve_cell(
        self,
        section: Section,
        combination: Combination,
        files: list[Path],
        options: Mapping[str, Any],
        notes: dict[str, None],
    ) -> Cell | None:
        """Resolves a cell, or returns None if its run ends before the step of its snapshot."""
        chosen = dict(options)
        for variant in combination.values():
            chosen |= variant.options
        step = chosen.pop(STEP_AXIS, None)
        configuration = self._configurations.resolve(files, chosen)
        # Before the key is computed: a run without these layers is another run.
        if section.missing_layers == "drop":
            notes |= dict.fromkeys(drop_missing_layers(configuration))
        steps = planned_steps(configuration)
        if step is not None and step > steps:
            return None

        # Runs that differ only in the step of the snapshot are one run: each writes all snapshots of the section.
        snapshots = [n for n in section.snapshots if n < steps]
        configuration["snapshots"] = {"at_steps": sorted({*configuration["snapshots"]["at_steps"], *snapshots})}
        labels = [(variant.axis, variant.label) for variant in combination.values()]
        label = ", ".join([section.title, *(text for axis, text in labels if axis != STEP_AXIS)])
        run = StudyRun(self.key(configuration), label, configuration)
        alt = ", ".join([section.title, *(text for _, text in labels)])
        return Cell(run, None if step == steps else step, alt)
