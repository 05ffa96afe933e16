"""The combinations of a section's axes and the figures they make."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nst_lightning.study.spec.declaration import STEP, Section, flatten_options
from nst_lightning.study.spec.words import PICTURES, axis_word, value_word


@dataclass(frozen=True)
class Variant:
    """A place on an axis.

    Attributes:
        axis: its name.
        label: what stands at the figure's edge.
        options: options of `fit` by dotted words.
        picture: the picture file that stands at the figure's edge, for an axis of pictures.
    """

    axis: str
    label: str
    options: Mapping[str, Any]
    picture: str | None = None


Combination = dict[str, Variant]
"""A variant for each axis of a section, by the axis' name."""


@dataclass(frozen=True)
class Layout:
    """A figure: what runs down, what runs along, and what is the same in all of it."""

    rows: list[Variant | None]
    columns: list[Variant | None]
    common: Combination

    def cells(self) -> Iterator[tuple[int, int, Combination]]:
        """Row, column and combination of every cell, row by row."""
        for (r, row), (c, column) in itertools.product(enumerate(self.rows), enumerate(self.columns)):
            sides = {variant.axis: variant for variant in (row, column) if variant is not None}
            yield r, c, self.common | sides


def variants(section: Section) -> dict[str, list[Variant]]:
    """The variants of every axis of a section, that of its snapshots last."""
    axes: dict[str, list[Variant]] = {}
    for name, values in section.axes.items():
        if isinstance(values, dict):
            axes[name] = [Variant(name, str(label), flatten_options(options)) for label, options in values.items()]
        else:
            axes[name] = [_value(name, value) for value in values]
    if section.snapshots:
        axes[STEP] = [Variant(STEP, f"{step} steps", {STEP: step}) for step in section.snapshots]
    return axes


def _value(name: str, value: Any) -> Variant:
    picture = value if name in PICTURES and isinstance(value, str) else None
    word = value_word(value)
    label = word if picture is not None or "conv" in word or "relu" in word else f"{axis_word(name)} {word}"
    return Variant(name, label, {name: value}, picture)


def layouts(section: Section) -> list[Layout]:
    """The figures of a section, one for each combination of the axes that are neither rows nor columns."""
    axes = variants(section)
    rows, columns = sides(section)
    others = [axes[name] for name in axes if name not in (rows, columns)]
    return [
        Layout(
            [None] if rows is None else list(axes[rows]),
            [None] if columns is None else list(axes[columns]),
            {variant.axis: variant for variant in combination},
        )
        for combination in itertools.product(*others)
    ]


def sides(section: Section) -> tuple[str | None, str | None]:
    """The axes of rows and of columns."""
    left = [name for name in section.axis_names if name not in (section.rows, section.columns)]
    columns = section.columns or (left.pop() if left else None)
    rows = section.rows or (left.pop() if left else None)
    return rows, columns
