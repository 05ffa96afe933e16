"""What Lightning costs: a step inside `fit` over the same step in a bare loop."""

import tempfile
import time
from itertools import pairwise
from statistics import mean
from typing import Any, ClassVar

import lightning.pytorch as pl

from nst_lightning.benchmark.clock import finish, summary
from nst_lightning.benchmark.steps import Loop, pictures
from nst_lightning.images.io import write_image
from nst_lightning.system.memory import keep_freed_memory

WARM_UP = 3


class StepClock(pl.Callback):
    """Notes when each step begins, and the end; makes a step of a bare loop after each, and notes how long that takes.

    So both meet the same hour of the machine.
    """

    loop: ClassVar[Loop | None] = None
    began: ClassVar[list[float]] = []
    bare: ClassVar[list[float]] = []

    def on_train_start(self, *unused: Any) -> None:
        """Forgets a run before."""
        StepClock.began.clear()
        StepClock.bare.clear()

    def on_train_batch_start(self, *unused: Any) -> None:
        """Notes the time."""
        StepClock.began.append(time.perf_counter())

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Makes the other step, and notes the time after the last one."""
        assert StepClock.loop is not None
        device = StepClock.loop.device
        finish(device)
        began = time.perf_counter()
        StepClock.loop.step()
        finish(device)
        StepClock.bare.append(time.perf_counter() - began)
        if trainer.is_last_batch:
            StepClock.began.append(time.perf_counter())


def measure_lightning(name: str, size: int, device: str, precision: str, steps: int) -> dict[str, Any]:
    """Mean seconds of a step in `fit` as the command runs it, and in a bare loop, turn by turn.

    In `fit` everything counts: curves, previews, checkpoints, the bar.
    """
    keep_freed_memory()
    StepClock.loop = Loop(name, size, device, precision)
    inside, bare = (times[WARM_UP:] for times in _in_fit(name, size, device, precision, steps + WARM_UP))
    return {"fit": summary(inside), "bare": summary(bare), "cost": mean(inside) / mean(bare) - 1}


def _in_fit(name: str, size: int, device: str, precision: str, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step in `fit`, and of each beside it."""
    # Imported late: this is the command line, whose start takes seconds.
    from nst_lightning.cli.fit import main as fit

    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/content.png", f"{folder}/style.png"]
        for file, picture in zip(files, pictures(size, "cpu"), strict=True):
            write_image(file, picture)
        fit(_arguments(files, folder, name, size, device, precision, steps))
    both = [after - before for before, after in pairwise(StepClock.began)]
    return [whole - bare for whole, bare in zip(both, StepClock.bare, strict=True)], list(StepClock.bare)


def _arguments(
    files: list[str], folder: str, name: str, size: int, device: str, precision: str, steps: int
) -> list[str]:
    layers = ", ".join(f"conv_{number}" for number in range(1, 11))
    style = f"{{class_path: GramLoss, init_args: {{layers: [{layers}], weight: 1.0e+6}}}}"
    content = "{class_path: ContentLoss, init_args: {layers: [conv_3]}}"
    options = {
        "data.content": files[0],
        "data.style": files[1],
        "data.plan.size": size,
        "data.plan.steps": steps,
        "model.backbone": name,
        "model.losses": f"{{content: {content}, style: {style}}}",
        "trainer.accelerator": "gpu" if device == "cuda" else device,
        "trainer.precision": precision,
        "trainer.logger.init_args.save_dir": folder,
        "trainer.callbacks": f"{__name__}.StepClock",
    }
    return [f"--{key}={value}" for key, value in options.items()]
