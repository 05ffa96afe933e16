"""Our steps and the plain loop's, turn by turn, so that both meet the same hour of the machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from nst_lightning.benchmark.ceiling import best_convolution
from nst_lightning.benchmark.clock import summary
from nst_lightning.benchmark.worker import Served, served
from nst_lightning.system.precision import Precision

DEEP_LAYERS = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
"""Of the style term where memory is compared: one in each block, to VGG-19's last."""

TO_ONE = 3
"""How many steps of a kind are made at least to one of the plain loop; more if it takes longer than they do."""


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    Attributes:
        network: its name in the table.
        precision: of the network.
        optimizer: its name in the table.
        task: of the worker.
        settings: of the task.
        comparable: whether it computes what the plain loop does.
    """

    network: str
    precision: str
    optimizer: str
    task: str = "step"
    settings: dict[str, Any] = field(default_factory=dict)
    comparable: bool = True

    def row(self, size: int) -> dict[str, Any]:
        """What a row of the table begins with."""
        return {"network": self.network, "size": size, "precision": self.precision, "optimizer": self.optimizer}


def measure_steps(
    size: int,
    device: str,
    steps: int,
    ceiling: list[dict[str, Any]],
    precisions: Sequence[Precision],
    quick: bool = False,
) -> list[dict[str, Any]]:
    """Steps of each kind at a size.

    Args:
        size: of the square image in px.
        device: cpu or cuda.
        steps: how many of each kind, at least.
        ceiling: of the machine.
        precisions: to measure, the one that it computes fastest in last.
        quick: whether a few kinds will do.

    Returns:
        Rows, the plain loop's first; ``speed`` is how many times as fast as its steps in between.
    """
    plain, rows = _reference(100), []
    seconds: list[float] = []
    with served("reference", size=size, device=device, **plain.settings) as reference:
        reference.answer()
        for kind in _kinds(precisions[-1:] if quick else precisions, quick):
            print(f"{kind.network}, {kind.optimizer}, {kind.precision}, {size} px", flush=True)
            with served(kind.task, size=size, device=device, **kind.settings) as process:
                process.answer()
                own, beside = _turn_by_turn(process, reference, steps)
                found = kind.row(size) | {"seconds": summary(own)} | process.ask("found")
            rows.append(found | _ratios(kind, found, median(beside), ceiling))
            seconds += beside
        return [plain.row(size) | {"seconds": summary(seconds)} | reference.ask("found"), *rows]


def _turn_by_turn(process: Served, reference: Served, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of steps, and of the plain loop's between them: about as long of either."""
    own: list[float] = []
    beside: list[float] = []
    while len(own) < steps:
        beside.append(reference.ask("step"))
        turn: list[float] = []
        while len(turn) < TO_ONE or sum(turn) < beside[-1]:
            turn.append(process.ask("step"))
        own += turn
    return own, beside


def _ratios(kind: Kind, found: dict[str, Any], plain: float, ceiling: list[dict[str, Any]]) -> dict[str, float]:
    seconds = found["seconds"]["median"]
    speed = {"speed": plain / seconds} if kind.comparable else {}
    if "operations" not in found:
        return speed
    return speed | {"share": found["operations"] / seconds / best_convolution(ceiling, kind.precision)}


def _reference(history: int) -> Kind:
    return Kind("reference", "32-true", f"L-BFGS {history}", "reference", {"history": history})


def _kinds(precisions: Sequence[Precision], quick: bool) -> Iterator[Kind]:
    yield _reference(10)
    for network in ("SlimVGG19",) if quick else ("VGG19", "SlimVGG19"):
        for optimizer in ("L-BFGS", "Adam"):
            for precision in precisions:
                settings = {"name": network, "precision": precision, "optimizer": optimizer}
                yield Kind(network, precision, optimizer, settings=settings)
    for checkpointing in (False, True):
        name = f"VGG19 to conv5_1{', checkpointing' if checkpointing else ''}"
        kind = {"precision": precisions[-1], "optimizer": "Adam"}
        depth = {"name": "VGG19", "layers": DEEP_LAYERS, "checkpointing": checkpointing}
        yield Kind(name, **kind, settings=kind | depth, comparable=False)
