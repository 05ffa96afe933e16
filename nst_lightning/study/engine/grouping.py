"""Which runs can be painted as one batch."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.samples import locate
from nst_lightning.study.engine.paint import Job
from nst_lightning.study.spec.plan import Run
from nst_lightning.video.film import is_film

# What runs of a batch may differ in.
_PICTURES = {"content", "style", "style_weights"}
_WEIGHTS = {"weight", "layer_weights"}


def group_runs(runs: Iterable[Run], output: Path, most: int = 1) -> list[Job]:
    """Puts runs together that differ in pictures, weights and seeds alone and have one size.

    Args:
        runs: what to paint.
        output: the study's folder.
        most: how many pictures a batch may have.
    """
    if most < 2:
        return [Job((run,), output) for run in runs]
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(_kind(run), []).append(run)
    return [Job(batch, output) for group in alike.values() for batch in _chunks(group, most)]


def _chunks(runs: Sequence[Run], most: int) -> list[tuple[Run, ...]]:
    return [tuple(runs[start : start + most]) for start in range(0, len(runs), most)]


def _kind(run: Run) -> str:
    """What runs of a batch have in common."""
    if _couples(run.configuration["model"]["optimizer"]):
        return run.key
    try:
        shapes = _shapes(run)
    except InputError:  # a film, or a mistake that the run reports itself
        return run.key
    rest = {name: value for name, value in run.configuration.items() if name not in ("seed_everything", "snapshots")}
    rest["data"] = {name: value for name, value in rest["data"].items() if name not in _PICTURES}
    return json.dumps([_without_weights(rest), shapes], sort_keys=True)


def _couples(optimizer: dict[str, Any]) -> bool:
    """Whether a step for one image would depend on the others: torch's L-BFGS takes its products over all of them."""
    return str(optimizer["class_path"]).startswith("torch.") and str(optimizer["class_path"]).endswith(".LBFGS")


def _without_weights(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_weights(inner) for name, inner in value.items() if name not in _WEIGHTS}
    return value


def _shapes(run: Run) -> list[tuple[int, int]]:
    given = run.configuration["data"]
    if given["content"] is not None and is_film(locate(given["content"])):
        raise InputError("Expected a still as content, but got a film.")
    data = TransferData(given["content"], given["style"], given["style_weights"], Plan(**given["plan"]))
    data.setup("fit")
    return [data.shape(stage) for stage in data.stages]
