"""A study as it is declared in YAML."""

from dataclasses import dataclass, field
from typing import Any, Literal

from nst_lightning.errors import UsageError
from nst_lightning.study.spec.field_types import check_types

# Name of the axis that `snapshots` adds.
STEP_AXIS = "step"

# Options of `fit`, nested or by dotted name.
Options = dict[str, Any]


@dataclass
class Section:
    """Runs of one configuration that differ along axes, shown as figures.

    ``data``, ``model``, ``trainer`` and ``seed_everything`` are options of `fit` and override the configuration files.

    Args:
        title: title of the section.
        text: sentence below the title.
        config: configuration file of `fit`, or a list in which later files override earlier ones. Files are looked up
            in the current directory, then in the folder of the study file.
        axes: what differs between runs. Either an option of `fit` by dotted name with a list of values, as in
            ``model.losses.style.weight: [1, 10]``, or any name with options for each label, as in
            ``start: {noise: {model.initialization: noise}, content: {model.initialization: content}}``.
        rows: axis of a figure's rows. Default: the last axis but one.
        columns: axis of a figure's columns. Default: the last axis. Each combination of the other axes is a figure of
            its own.
        snapshots: steps at which a run is shown in addition to its end. They form the last axis, named `step`.
        missing_layers: what to do with a layer that the backbone does not have: `refuse` the study, or `drop` the layer
            and mention it on the page.
        data: options of `fit` below ``data``.
        model: options of `fit` below ``model``.
        trainer: options of `fit` below ``trainer``.
        seed_everything: seed of the runs.

    Raises:
        UsageError: a value cannot be used.
    """

    title: str
    config: str | list[str]
    text: str = ""
    axes: Options = field(default_factory=dict)
    rows: str | None = None
    columns: str | None = None
    snapshots: list[int] = field(default_factory=list)
    missing_layers: Literal["refuse", "drop"] = "refuse"
    data: Options | None = None
    model: Options | None = None
    trainer: Options | None = None
    seed_everything: int | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        check_types(self, repr(self.title))
        for name, values in self.axes.items():
            if not isinstance(values, list | dict):
                raise UsageError(f"Expected the axis {name!r} of {self.title!r} to be a list, but got {values!r}.")
            if isinstance(values, dict) and not all(isinstance(options, dict) for options in values.values()):
                raise UsageError(
                    f"Expected the axis {name!r} of {self.title!r} to have options for each label, but got {values!r}."
                )
            if not values:
                raise UsageError(f"Expected the axis {name!r} of {self.title!r} to have values, but it has none.")
        if STEP_AXIS in self.axes:
            raise UsageError(
                f"Expected axes of {self.title!r} other than {STEP_AXIS!r}, which `snapshots` adds: rename that axis."
            )
        if any(step < 1 for step in self.snapshots):
            raise UsageError(f"Expected `snapshots` of {self.title!r} to be positive, but got {self.snapshots}.")
        for side, chosen in (("rows", self.rows), ("columns", self.columns)):
            if chosen is not None and chosen not in self.axis_names:
                known = ", ".join(self.axis_names) or "none"
                raise UsageError(
                    f"Expected `{side}` of {self.title!r} to be one of its axes ({known}), but got {chosen!r}."
                )
        if self.rows is not None and self.rows == self.columns:
            raise UsageError(
                f"Expected `rows` and `columns` of {self.title!r} to be different axes, but both are {self.rows!r}."
            )

    @property
    def axis_names(self) -> list[str]:
        """Names of the axes in their order; the axis of the snapshots is last."""
        return [*self.axes, *([STEP_AXIS] if self.snapshots else [])]

    @property
    def configs(self) -> list[str]:
        """The configuration files."""
        return [self.config] if isinstance(self.config, str) else self.config

    @property
    def overrides(self) -> Options:
        """Options that override the configuration files, by dotted name."""
        return _overrides(self)


@dataclass
class Study:
    """Sections of runs that are shown on one page.

    ``data``, ``model``, ``trainer`` and ``seed_everything`` are options of `fit`. They override the configuration files
    of every section, so that ``--config configs/backbones/vgg19.yaml`` after the study file changes the backbone of all
    runs. A section's own options override them.

    Args:
        title: title of the page.
        text: sentence below the title.
        sections: the sections in the order of the page.
        data: options of `fit` below ``data``.
        model: options of `fit` below ``model``.
        trainer: options of `fit` below ``trainer``.
        seed_everything: seed of all runs.

    Raises:
        UsageError: a value cannot be used.
    """

    title: str = "Study"
    text: str = ""
    sections: list[Section] = field(default_factory=list)
    data: Options | None = None
    model: Options | None = None
    trainer: Options | None = None
    seed_everything: int | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        check_types(self, repr(self.title))

    @property
    def overrides(self) -> Options:
        """Options that override the configuration files of every section, by dotted name."""
        return _overrides(self)


def flatten_options(options: Options, prefix: str = "") -> Options:
    """Flattens nested options of `fit` to dotted names; a class with its arguments and a style stay one value."""
    flat: Options = {}
    for name, value in options.items():
        if isinstance(value, dict) and value and not {"class_path", "file"} & value.keys():
            flat |= flatten_options(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _overrides(declared: Section | Study) -> Options:
    groups = {"data": declared.data, "model": declared.model, "trainer": declared.trainer}
    flat = flatten_options({name: group for name, group in groups.items() if group})
    return flat if declared.seed_everything is None else flat | {"seed_everything": declared.seed_everything}
