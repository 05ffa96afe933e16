"""Groups runs that can be painted as one batch."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nst_lightning.data.plan import Plan
from nst_lightning.data.style_source import parse_styles
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.samples import locate
from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.study.spec.resolved_study import StudyRun
from nst_lightning.video.film import is_film

# Options in which the runs of a batch may differ, in addition to seed and snapshots.
_PICTURE_NAMES = {"content", "style", "style_weights"}
_WEIGHT_NAMES = {"weight", "layer_weights"}


def group_runs(runs: Iterable[StudyRun], output: Path, batch_size: int = 1) -> list[PaintJob]:
    """Groups runs of one picture size that differ only in pictures, weights, seeds and snapshots.

    Args:
        runs: the runs to paint.
        output: folder of the study.
        batch_size: most runs of a job.
    """
    if batch_size < 2:
        return [PaintJob((run,), output) for run in runs]
    groups: dict[str, list[StudyRun]] = {}
    for run in runs:
        groups.setdefault(_group_key(run), []).append(run)
    return [
        PaintJob(tuple(group[start : start + batch_size]), output)
        for group in groups.values()
        for start in range(0, len(group), batch_size)
    ]


def _group_key(run: StudyRun) -> str:
    """Returns what the runs of a batch have in common, or the run's own key if it cannot be in a batch."""
    optimizer = run.configuration["model"]["optimizer"]
    optimizer = optimizer["class_path"] if isinstance(optimizer, dict) else optimizer  # the default is a function
    # The dot products of torch's L-BFGS are over all images of a batch, so that each step would depend on the others.
    if optimizer.startswith("torch.") and optimizer.endswith(".LBFGS"):
        return run.key
    # Masks are resized for one picture at a time, and few studies have runs with equal masks.
    if _has_masks(run.configuration["data"]):
        return run.key
    # A stage would end for all runs of a batch at once.
    if run.configuration["data"]["plan"]["tolerance"] is not None:
        return run.key
    try:
        shapes = _shapes(run)
    except InputError:  # a film, or a mistake that the run reports itself
        return run.key
    common = {name: value for name, value in run.configuration.items() if name not in ("seed_everything", "snapshots")}
    common["data"] = {name: value for name, value in common["data"].items() if name not in _PICTURE_NAMES}
    return json.dumps([_drop_weights(common), shapes], sort_keys=True)


def _has_masks(options: dict[str, Any]) -> bool:
    has_maps = any(options.get(name) is not None for name in ("content_map", "hold", "style_strength"))
    return has_maps or any(style.is_masked for style in parse_styles(options["style"]))


def _drop_weights(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _drop_weights(child) for name, child in value.items() if name not in _WEIGHT_NAMES}
    return value


def _shapes(run: StudyRun) -> list[tuple[int, int]]:
    """Returns height and width in px of each stage."""
    options = run.configuration["data"]
    if options["content"] is not None and is_film(locate(options["content"])):
        raise InputError("Expected a still as content, but got a film.")
    data = TransferData(options["content"], options["style"], options["style_weights"], Plan(**options["plan"]))
    data.setup("fit")
    return [data.shape(stage) for stage in data.stages]
