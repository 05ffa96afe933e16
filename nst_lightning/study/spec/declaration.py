"""What a study is, as it is declared in YAML."""

from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, Literal

from nst_lightning.errors import UsageError

STEP = "step"
"""Name of the axis of a section's snapshots."""


Options = dict[str, Any]
"""Options of `fit`, nested or in dotted words."""


@dataclass
class Section:
    """A part of a study: runs of one recipe that differ along axes, shown as a figure.

    ``data``, ``model``, ``trainer`` and ``seed_everything`` are those of `fit` and go before the configuration's.

    Args:
        title: of the section.
        text: a sentence that stands below the title.
        config: configuration file of `fit`, or several, each on top of the one before; beside the study's own file or
            in the current directory.
        axes: what differs. An option of `fit` in dotted words with a list of values, as
            ``model.losses.style.weight: [1, 10]``, or a name with options for each of its labels, as
            ``start: {noise: {model.initialization: noise}, content: {model.initialization: content}}``.
        rows: the axis that runs down a figure; the last but one unless given.
        columns: the axis that runs along a figure; the last one unless given. Of further axes each combination is a
            figure of its own.
        snapshots: steps at which a run is shown besides its end; they are an axis, `step`, the last one.
        missing_layers: what to do with a layer that the network does not have: refuse the study, or leave the layer
            out and say so on the page.
        data: of `fit`.
        model: of `fit`.
        trainer: of `fit`.
        seed_everything: of `fit`.
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
        """Checks what was declared."""
        _check_types(self)
        for name, values in self.axes.items():
            if not isinstance(values, list | dict):
                raise UsageError(f"Expected the axis {name!r} of {self.title!r} to be a list, but got {values!r}.")
            if isinstance(values, dict) and not all(isinstance(options, dict) for options in values.values()):
                raise UsageError(f"Expected every label of the axis {name!r} of {self.title!r} to have options.")
            if not values:
                raise UsageError(f"Expected the axis {name!r} of {self.title!r} to have values, but it has none.")
        if STEP in self.axes:
            raise UsageError(f"Expected axes of {self.title!r} other than {STEP!r}: `snapshots` makes that one.")
        if self.missing_layers not in ("refuse", "drop"):
            raise UsageError(f"Expected `missing_layers` to be refuse or drop, but got {self.missing_layers!r}.")
        if any(not isinstance(step, int) or step < 1 for step in self.snapshots):
            raise UsageError(f"Expected `snapshots` of {self.title!r} to be positive, but got {self.snapshots}.")
        for side, chosen in (("rows", self.rows), ("columns", self.columns)):
            if chosen is not None and chosen not in self.axis_names:
                known = ", ".join(self.axis_names) or "none"
                raise UsageError(f"Expected `{side}` of {self.title!r} to be an axis of it ({known}), got {chosen!r}.")
        if self.rows is not None and self.rows == self.columns:
            raise UsageError(f"Expected other `rows` than `columns` in {self.title!r}, but both are {self.rows!r}.")

    @property
    def axis_names(self) -> list[str]:
        """The axes in their order, the snapshots' last."""
        return [*self.axes, *([STEP] if self.snapshots else [])]

    @property
    def configs(self) -> list[str]:
        """The configuration files."""
        return [self.config] if isinstance(self.config, str) else self.config

    @property
    def overrides(self) -> dict[str, Any]:
        """What goes before the configuration files, by dotted option."""
        return _overrides(self)


@dataclass
class Study:
    """Runs in sections, of which a page is made.

    ``data``, ``model``, ``trainer`` and ``seed_everything`` are those of `fit`; they go before every section's
    configuration file, so that ``--config configs/backbones/vgg19.yaml`` after the study's own file changes the network
    of all of it; a section's own go before them.

    Args:
        title: of the page.
        text: a sentence that stands below the title.
        sections: in the order of the page.
        data: of `fit`.
        model: of `fit`.
        trainer: of `fit`.
        seed_everything: of `fit`.
    """

    title: str = "Study"
    text: str = ""
    sections: list[Section] = field(default_factory=list)
    data: Options | None = None
    model: Options | None = None
    trainer: Options | None = None
    seed_everything: int | None = None

    def __post_init__(self) -> None:
        """Checks what was declared."""
        _check_types(self)

    @property
    def overrides(self) -> dict[str, Any]:
        """What goes before every section's configuration files, by dotted option."""
        return _overrides(self)


def flatten_options(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options of `fit` as one mapping by dotted words; a class with its arguments stays whole."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict) and value and "class_path" not in value:
            flat |= flatten_options(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


_TYPES: dict[str, tuple[type, ...]] = {
    "title": (str,),
    "text": (str,),
    "config": (str, list),
    "axes": (dict,),
    "rows": (str, NoneType),
    "columns": (str, NoneType),
    "snapshots": (list,),
    "sections": (list,),
    "data": (dict, NoneType),
    "model": (dict, NoneType),
    "trainer": (dict, NoneType),
    "seed_everything": (int, NoneType),
}
_WORDS = {str: "text", list: "a list", dict: "options", int: "a number", NoneType: "nothing"}


def _check_types(declared: "Section | Study") -> None:
    for item in fields(declared):
        value, types = getattr(declared, item.name), _TYPES.get(item.name)
        if types is not None and not isinstance(value, types):
            expected = " or ".join(_WORDS[kind] for kind in types)
            raise UsageError(f"Expected `{item.name}` of {declared.title!r} to be {expected}, but got {value!r}.")


def _overrides(declared: Section | Study) -> dict[str, Any]:
    groups = {"data": declared.data, "model": declared.model, "trainer": declared.trainer}
    flat = flatten_options({name: group for name, group in groups.items() if group})
    return flat if declared.seed_everything is None else flat | {"seed_everything": declared.seed_everything}
