"""Combines the values of a section's axes into figures."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from nst_lightning.study.spec.declaration import STEP_AXIS, Options, Section, flatten_options
from nst_lightning.study.spec.labels import PICTURE_OPTIONS, axis_label, value_label


@dataclass(frozen=True)
class Variant:
    """One value of an axis.

    Attributes:
        axis: name of the axis.
        label: label at the edge of a figure.
        options: options of `fit` by dotted name.
        picture: picture file at the edge of a figure, if the axis is one of pictures.
    """

    axis: str
    label: str
    options: Options
    picture: str | None = None


# One variant of each axis of a section, by the name of the axis.
Combination = dict[str, Variant]


@dataclass(frozen=True)
class Layout:
    """The variants of a figure.

    Attributes:
        rows: a variant for each row; ``[None]`` without an axis of rows.
        columns: a variant for each column; ``[None]`` without an axis of columns.
        common: the variants that all cells share.
    """

    rows: list[Variant | None]
    columns: list[Variant | None]
    common: Combination

    def cells(self) -> Iterator[tuple[int, int, Combination]]:
        """Yields row number, column number and combination of each cell, row by row."""
        for (r, row), (c, column) in itertools.product(enumerate(self.rows), enumerate(self.columns)):
            own = {variant.axis: variant for variant in (row, column) if variant is not None}
            yield r, c, self.common | own


def create_layouts(section: Section) -> list[Layout]:
    """Creates the figures of a section: one for each combination of the axes that are neither rows nor columns."""
    axes = _create_variants(section)
    rows, columns = choose_axes(section)
    others = [axes[name] for name in axes if name not in (rows, columns)]
    return [
        Layout(
            [None] if rows is None else list(axes[rows]),
            [None] if columns is None else list(axes[columns]),
            {variant.axis: variant for variant in combination},
        )
        for combination in itertools.product(*others)
    ]


def choose_axes(section: Section) -> tuple[str | None, str | None]:
    """Chooses the axis of rows and the axis of columns: as declared, else the last two axes."""
    free = [name for name in section.axis_names if name not in (section.rows, section.columns)]
    columns = section.columns or (free.pop() if free else None)
    rows = section.rows or (free.pop() if free else None)
    return rows, columns


def _create_variants(section: Section) -> dict[str, list[Variant]]:
    axes: dict[str, list[Variant]] = {}
    for name, values in section.axes.items():
        if isinstance(values, dict):
            axes[name] = [Variant(name, str(label), flatten_options(options)) for label, options in values.items()]
            continue
        axes[name] = []
        for value in values:
            file = value.get("file") if isinstance(value, dict) else value
            picture = file if name in PICTURE_OPTIONS and isinstance(file, str) else None
            label = value_label(value)
            # Pictures and layers explain themselves; a number needs the name of its option.
            if picture is None and "conv" not in label and "relu" not in label:
                label = f"{axis_label(name)} {label}"
            axes[name].append(Variant(name, label, {name: value}, picture))
    if section.snapshots:
        axes[STEP_AXIS] = [Variant(STEP_AXIS, f"{step} steps", {STEP_AXIS: step}) for step in section.snapshots]
    return axes
