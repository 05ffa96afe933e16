"""The `steer` command: changes a run in progress."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from nst_lightning.errors import InputError, UsageError
from nst_lightning.system.processes import is_running
from nst_lightning.training.steering import LIVE_NAME, Steering, read_live, write_control

STEER_DESCRIPTION = """Changes a run in progress: weights of terms, the strength of the style, weights of the styles,
the number of steps. The change takes effect after the current step."""

# Options that hold a number or a list, and the key of each in `control.json`.
VALUE_OPTIONS = {
    "--model.strength": "strength",
    "--data.style_weights": "style_weights",
    "--more_steps": "more_steps",
}


class _SteerParser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"Expected a run folder and options, but: {message}.")


def _create_steer_parser() -> _SteerParser:
    parser = _SteerParser(prog="python -m nst_lightning steer", description=STEER_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("run", type=Path, help="run folder, such as logs/transfer/version_0")
    parser.add_argument("--stop", action="store_true", help="end the run and keep its picture")
    parser.add_argument("--more_steps", metavar="STEPS", help="steps to add to the last size, or to the last frame")
    parser.add_argument("--model.strength", metavar="STRENGTH", help="from 0, the photograph, to 1, the style")
    parser.add_argument("--data.style_weights", metavar="WEIGHTS", help="of several styles, such as [1,2]")
    parser.add_argument(
        "--model.losses.NAME.weight", dest="unused", metavar="WEIGHT", help="weight of the term NAME of the run"
    )
    return parser


def main(args: list[str]) -> int:
    """Hands a change to a run, and returns the exit status.

    Args:
        args: command line after `steer`.

    Raises:
        InputError: there is no such run, it has ended, it does not have a term, or its folder cannot be written.
    """
    weights, others = _take_weights(args)
    options = _create_steer_parser().parse_args(others)
    change = Steering.parse(_read_values(vars(options), weights))
    if not change:
        raise UsageError("Expected a change, but got none: add --stop, --more_steps N or another option.")
    folder: Path = options.run
    live = find_live(folder)
    change.check(list(live.get("weights", {})), len(live.get("style_weights", [])))
    write_control(folder, change)
    print(f"{folder}: {change.describe()}")
    return 0


def find_live(folder: Path) -> dict[str, Any]:
    """Returns the status of a run that is painting.

    Args:
        folder: the run folder.

    Raises:
        InputError: there is no such run, or it has ended.
    """
    live = read_live(folder)
    if live is None:
        raise InputError(
            f"Expected the folder of a run that is painting, such as logs/transfer/version_0, but {folder} has no "
            f"{LIVE_NAME}."
        )
    state, pid = live.get("state"), live.get("pid")
    if state != "painting":
        raise InputError(f"Expected a run that is painting, but {folder} is {state}: fit --ckpt_path last resumes it.")
    if not isinstance(pid, int) or not is_running(pid):
        raise InputError(
            f"Expected a run that is painting, but the process {pid} of {folder} has ended: fit --ckpt_path last "
            "resumes it."
        )
    return live


def _take_weights(args: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Separates the options with the weights of terms, whose names the parser does not know, from the other words."""
    weights, others, words = {}, [], iter(args)
    for word in words:
        match = re.fullmatch(r"(--model\.losses\.(\w+)(?:\.init_args)?\.weight)(?:=(.*))?", word)
        if match is None:
            others.append(word)
            continue
        option, name, text = match.groups()
        weights[name] = _parse_value(option, next(words, "") if text is None else text)
    return weights, others


def _read_values(options: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Returns the change as :meth:`Steering.parse` reads it.

    Args:
        options: parsed options by name.
        weights: weights of terms.
    """
    values: dict[str, Any] = {"stop": options["stop"], "weights": weights}
    for option, key in VALUE_OPTIONS.items():
        text = options[option.removeprefix("--")]
        if text is not None:
            values[key] = _parse_value(option, text)
    return values


def _parse_value(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Expected a number or a list of numbers for {option}, but got {text!r}.") from error
