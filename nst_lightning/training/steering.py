"""Changes of a run in progress, and the files of a run folder through which they are exchanged."""

import json
import math
import os
import shutil
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.system.disk_errors import explain_disk_error

# Names in a run folder: what the run shows, what it reads, and what it has applied.
LIVE_NAME = "live.json"
CONTROL_NAME = "control.json"
STEERING_NAME = "steering.yaml"

# Largest size of a file with changes in bytes.
MOST_BYTES = 2**16

# Most steps that one change may add.
MOST_STEPS = 10**6


@dataclass(frozen=True)
class Steering:
    """A change of a run in progress.

    Attributes:
        stop: whether the run ends, and keeps its picture.
        more_steps: steps that are added to the last stage.
        weights: new weights of terms by name.
        strength: new strength of the style in [0, 1], or None to keep it.
        style_weights: new weights of the styles in their order, or None to keep them.
    """

    stop: bool = False
    more_steps: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    strength: float | None = None
    style_weights: tuple[float, ...] | None = None

    @classmethod
    def parse(cls, values: object) -> "Steering":
        """Reads a change from a mapping and checks everything that can be checked without the run.

        Args:
            values: as JSON and YAML represent it; see the attributes for its keys, which are all optional.

        Raises:
            InputError: there is another key, or a value has the wrong type or range.
        """
        if not isinstance(values, dict):
            raise InputError(f"Expected a mapping with changes of a run, but got {_shorten(values)}.")
        known = tuple(cls.__dataclass_fields__)
        for key in values:
            if key not in known:
                raise InputError(f"Expected changes among {', '.join(known)}, but got {_shorten(key)}.")
        stop, more_steps = values.get("stop", False), values.get("more_steps", 0)
        if not isinstance(stop, bool):
            raise InputError(f"Expected `stop` to be true or false, but got {_shorten(stop)}.")
        if isinstance(more_steps, bool) or not isinstance(more_steps, int) or not 0 <= more_steps <= MOST_STEPS:
            raise InputError(
                f"Expected `more_steps` to be a whole number from 0 to {MOST_STEPS}, but got {_shorten(more_steps)}."
            )
        weights = values.get("weights", {})
        if not isinstance(weights, dict):
            raise InputError(f"Expected `weights` to map terms to numbers, but got {_shorten(weights)}.")
        strength, style_weights = values.get("strength"), values.get("style_weights")
        return cls(
            stop,
            more_steps,
            {str(name): _parse_number(f"weight of {_shorten(name)}", weight) for name, weight in weights.items()},
            None if strength is None else _parse_strength(strength),
            None if style_weights is None else _parse_style_weights(style_weights),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the mapping from which :meth:`parse` reads this change."""
        values: dict[str, Any] = {}
        if self.stop:
            values["stop"] = True
        if self.more_steps:
            values["more_steps"] = self.more_steps
        if self.weights:
            values["weights"] = dict(self.weights)
        if self.strength is not None:
            values["strength"] = self.strength
        if self.style_weights is not None:
            values["style_weights"] = list(self.style_weights)
        return values

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.to_dict())

    @property
    def changes_objective(self) -> bool:
        """Whether the objective becomes another function."""
        return bool(self.weights) or self.strength is not None or self.style_weights is not None

    def merge(self, later: "Steering") -> "Steering":
        """Returns the change that has the effect of this one followed by another."""
        return Steering(
            self.stop or later.stop,
            min(self.more_steps + later.more_steps, MOST_STEPS),
            {**self.weights, **later.weights},
            self.strength if later.strength is None else later.strength,
            self.style_weights if later.style_weights is None else later.style_weights,
        )

    def check(self, terms: Collection[str], styles: int) -> None:
        """Checks the change against a run.

        Args:
            terms: names of the terms of the run.
            styles: number of styles of the run.

        Raises:
            InputError: the run does not have a term, or has another number of styles.
        """
        for name in self.weights:
            if name not in terms:
                raise InputError(f"Expected a weight of one of the terms {', '.join(terms)}, but got {_shorten(name)}.")
        if self.style_weights is not None and len(self.style_weights) != styles:
            raise InputError(
                f"Expected `style_weights` to have a value for each of the {styles} styles, "
                f"but got {len(self.style_weights)}."
            )

    def describe(self) -> str:
        """Returns the change in words, without a line break."""
        parts = [f"weight of {name} {weight:g}" for name, weight in self.weights.items()]
        if self.strength is not None:
            parts.append(f"strength {self.strength:g}")
        if self.style_weights is not None:
            parts.append(f"style weights {', '.join(f'{weight:g}' for weight in self.style_weights)}")
        if self.more_steps:
            parts.append(f"{self.more_steps} more steps")
        return "; ".join([*parts, "stop"] if self.stop else parts)


@dataclass(frozen=True)
class SteeringStep:
    """A change and its place in the run.

    Attributes:
        step: evaluations of the run before the change.
        change: the change.
    """

    step: int
    change: Steering

    @classmethod
    def parse(cls, values: object) -> "SteeringStep":
        """Reads an entry of ``steering.yaml``.

        Raises:
            InputError: the entry cannot be used.
        """
        rest = dict(values) if isinstance(values, dict) else {}
        step = rest.pop("step", None)
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise InputError(f"Expected each change to have a `step` of 0 or more, but got {_shorten(values)}.")
        return cls(step, Steering.parse(rest))

    def to_dict(self) -> dict[str, Any]:
        """Returns the mapping from which :meth:`parse` reads this entry."""
        return {"step": self.step} | self.change.to_dict()


def write_control(folder: Path, change: Steering) -> None:
    """Hands a change to the run in a folder; what the run has not read yet stays in effect.

    Args:
        folder: the run folder.
        change: the change.

    Raises:
        InputError: the file cannot be written; what the run has not read yet is kept, if that can be written.
    """
    try:
        waiting = take_control(folder)
    except InputError:
        # The run would ignore it.
        waiting = None
    try:
        _write_control(folder, change if waiting is None else waiting.merge(change))
    except OSError as error:
        if waiting is not None:
            with suppress(OSError):
                _write_control(folder, waiting)
        raise InputError(f"Expected to write a file into {folder}, but {explain_disk_error(error)}.") from error


def _write_control(folder: Path, change: Steering) -> None:
    write_bytes(folder / CONTROL_NAME, f"{json.dumps(change.to_dict())}\n".encode())


def take_control(folder: Path) -> Steering | None:
    """Reads and removes the change that waits in a run folder.

    Args:
        folder: the run folder.

    Returns:
        The change, or None if there is none.

    Raises:
        InputError: the file cannot be used; it is removed too.
    """
    path = folder / CONTROL_NAME
    if not os.path.lexists(path):
        return None
    # Renamed first: a change that another process writes in the meantime stays for the next time.
    taken = folder / f".{CONTROL_NAME}.{os.getpid()}.taken"
    try:
        os.replace(path, taken)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"Expected to take {path}, but {error}.") from error
    try:
        return Steering.parse(_parse_json(taken))
    finally:
        _remove(taken)


def _parse_json(path: Path) -> Any:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise InputError(f"Expected {CONTROL_NAME} to be a file, but it is something else.")
    try:
        return json.loads(_read_small(path, CONTROL_NAME))
    except InputError:
        raise
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"Expected {CONTROL_NAME} to be JSON, but it is not: {_shorten(str(error))}.") from error


def _read_small(path: Path, name: str) -> str:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"Expected {name} to have at most {MOST_BYTES // 1024} KiB, but it is larger.")
    return content.decode()


def _remove(path: Path) -> None:
    """Removes whatever has this path."""
    with suppress(OSError):
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def read_live(folder: Path) -> dict[str, Any] | None:
    """Returns the content of ``live.json`` in a run folder, or None if there is none or it cannot be read."""
    try:
        live = json.loads((folder / LIVE_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return live if isinstance(live, dict) else None


def read_steering(path: Path) -> list[SteeringStep]:
    """Reads a file ``steering.yaml``.

    Args:
        path: the file.

    Returns:
        Its changes by their step.

    Raises:
        InputError: there is no such file, or it cannot be used.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"Expected a file with the changes of a run, but {path} is something else.")
    try:
        entries = yaml.safe_load(_read_small(path, path.name))
    except OSError as error:
        raise InputError(f"Expected a file with the changes of a run, but {path} cannot be read: {error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"Expected {path} to hold the changes of a run: {_shorten(str(error))}.") from error
    if entries is not None and not isinstance(entries, list):
        raise InputError(f"Expected {path} to be a list of changes, but got {_shorten(entries)}.")
    try:
        steps = [SteeringStep.parse(entry) for entry in entries or []]
    except InputError as error:
        raise InputError(f"In {path}: {error}") from error
    return sorted(steps, key=lambda entry: entry.step)


def write_steering(path: Path, changes: Sequence[SteeringStep]) -> None:
    """Writes a file ``steering.yaml``, from which ``fit --replay`` repeats the run."""
    text = yaml.safe_dump([entry.to_dict() for entry in changes], sort_keys=False)
    write_bytes(path, text.encode())


def _parse_number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"Expected the {name} to be a number, but got {_shorten(value)}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise InputError(f"Expected the {name} to be 0 or more and finite, but got {_shorten(value)}.")
    return number


def _parse_strength(value: object) -> float:
    strength = _parse_number("strength", value)
    if strength > 1:
        raise InputError(f"Expected the strength to be from 0 (photograph) to 1 (style), but got {strength:g}.")
    return strength


def _parse_style_weights(values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        raise InputError(f"Expected `style_weights` to be a list of numbers, but got {_shorten(values)}.")
    weights = tuple(_parse_number("weight of a style", value) for value in values)
    if not 0 < sum(weights) < math.inf:
        raise InputError("Expected one of `style_weights` to be over 0 and their sum to be finite.")
    return weights


def _shorten(value: object) -> str:
    """Returns a value for a message of one line, without characters that would change the terminal."""
    # The text of a list may be long, and an integer with thousands of digits has none.
    is_number = isinstance(value, float | None) or (isinstance(value, int) and abs(value) < 10**30)
    text = value if isinstance(value, str) else str(value) if is_number else f"a {type(value).__name__}"
    line = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    line = " ".join(line.split())
    return line if len(line) <= 80 else f"{line[:77]}..."
