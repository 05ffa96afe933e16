"""Step times of this package and of the reference, measured alternately so that both see the same load."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from nst_lightning.benchmark.ceiling import best_convolution
from nst_lightning.benchmark.clock import summarize
from nst_lightning.benchmark.worker import Worker, start_worker
from nst_lightning.system.precision import Precision

# Layers of the style term in the comparison of memory: one in each block, down to the last block of VGG-19.
DEEP_LAYERS = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]

# Minimum number of steps after each step of the reference; more follow until both have used the same time.
MIN_STEPS_PER_REFERENCE_STEP = 3


@dataclass(frozen=True)
class StepKind:
    """A network, precision and optimizer whose step is measured.

    Attributes:
        network: its name in the table.
        precision: precision of the network.
        optimizer: its name in the table.
        task: task of the worker.
        settings: settings of the task.
        is_comparable: whether a step computes the same objective as the reference.
    """

    network: str
    precision: str
    optimizer: str
    task: str = "step"
    settings: dict[str, Any] = field(default_factory=dict)
    is_comparable: bool = True

    def labels(self, size: int) -> dict[str, Any]:
        """Returns the first entries of a row of the results."""
        return {"network": self.network, "size": size, "precision": self.precision, "optimizer": self.optimizer}


def measure_steps(
    size: int,
    device: str,
    steps: int,
    ceiling: list[dict[str, Any]],
    precisions: Sequence[Precision],
    quick: bool = False,
) -> list[dict[str, Any]]:
    """Measures the steps of all kinds at one size.

    Args:
        size: edge of the square image in px.
        device: ``cpu`` or ``cuda``.
        steps: smallest number of steps of each kind.
        ceiling: rows of :func:`measure_ceiling`.
        precisions: precisions to measure, the fastest last.
        quick: whether to measure a few kinds only.

    Returns:
        Rows, the reference's first. ``speed`` is the median time of the reference's steps in between, divided by that
        of the kind's steps; ``share`` is the share of the peak throughput.
    """
    reference_kind, rows = _reference_kind(100), []
    reference_seconds: list[float] = []
    with start_worker("reference", size=size, device=device, **reference_kind.settings) as reference:
        reference.read_result()
        for kind in list_kinds(precisions[-1:] if quick else precisions, quick):
            print(f"{kind.network}, {kind.optimizer}, {kind.precision}, {size} px", flush=True)
            with start_worker(kind.task, size=size, device=device, **kind.settings) as worker:
                worker.read_result()
                seconds, in_between = _alternate(worker, reference, steps)
                row = kind.labels(size) | {"seconds": summarize(seconds)} | worker.ask("details")
            rows.append(row | _compare(kind, row, median(in_between), ceiling))
            reference_seconds += in_between
        seconds_entry = {"seconds": summarize(reference_seconds)}
        return [reference_kind.labels(size) | seconds_entry | reference.ask("details"), *rows]


def list_kinds(precisions: Sequence[Precision], quick: bool) -> Iterator[StepKind]:
    """Lists the kinds of steps to measure.

    Args:
        precisions: precisions to measure, the fastest last.
        quick: whether to list a few kinds only.
    """
    yield _reference_kind(10)
    for network in ("SlimVGG19",) if quick else ("VGG19", "SlimVGG19"):
        for optimizer in ("L-BFGS", "Adam"):
            for precision in precisions:
                settings = {"network": network, "precision": precision, "optimizer": optimizer}
                yield StepKind(network, precision, optimizer, settings=settings)
    for checkpointing in (False, True):
        label = f"VGG19 to conv5_1{', checkpointing' if checkpointing else ''}"
        common = {"precision": precisions[-1], "optimizer": "Adam"}
        depth = {"network": "VGG19", "layers": DEEP_LAYERS, "checkpointing": checkpointing}
        yield StepKind(label, **common, settings=common | depth, is_comparable=False)


def _reference_kind(history: int) -> StepKind:
    return StepKind("reference", "32-true", f"L-BFGS {history}", "reference", {"history": history})


def _alternate(worker: Worker, reference: Worker, steps: int) -> tuple[list[float], list[float]]:
    """Returns the seconds of a worker's steps and of the reference's steps in between, about equal in sum."""
    seconds: list[float] = []
    in_between: list[float] = []
    while len(seconds) < steps:
        in_between.append(reference.ask("step"))
        group: list[float] = []
        while len(group) < MIN_STEPS_PER_REFERENCE_STEP or sum(group) < in_between[-1]:
            group.append(worker.ask("step"))
        seconds += group
    return seconds, in_between


def _compare(
    kind: StepKind, row: dict[str, Any], reference_median: float, ceiling: list[dict[str, Any]]
) -> dict[str, float]:
    seconds = row["seconds"]["median"]
    speed = {"speed": reference_median / seconds} if kind.is_comparable else {}
    if "operations" not in row:
        return speed
    return speed | {"share": row["operations"] / seconds / best_convolution(ceiling, kind.precision)}
