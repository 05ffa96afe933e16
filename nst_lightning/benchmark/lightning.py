"""The overhead of Lightning: a step inside `fit` compared with the same step in a bare loop."""

import tempfile
import time
from itertools import pairwise
from statistics import mean
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch

from nst_lightning.benchmark.bare_loop import GRAM_LAYERS, BareLoop, load_images
from nst_lightning.benchmark.clock import WARM_UP_STEPS, summarize, time_call
from nst_lightning.images.io import write_image
from nst_lightning.system.memory import keep_freed_memory
from nst_lightning.training.console import quiet_lightning


class StepClock(pl.Callback):
    """Times the steps of `fit` and makes a timed step of a bare loop after each, so that both see the same load.

    State is kept on the class: the configuration creates the callback by its class path.

    Attributes:
        loop: the bare loop.
        start_times: when each step of `fit` began, and when the last one ended.
        bare_seconds: duration of each step of the bare loop.
    """

    loop: ClassVar[BareLoop | None] = None
    start_times: ClassVar[list[float]] = []
    bare_seconds: ClassVar[list[float]] = []

    def on_train_start(self, *unused: Any) -> None:
        """Clears the times of an earlier run."""
        StepClock.start_times.clear()
        StepClock.bare_seconds.clear()

    def on_train_batch_start(self, *unused: Any) -> None:
        """Records the time."""
        StepClock.start_times.append(time.perf_counter())

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Makes and times a step of the bare loop; after the last step, records the time."""
        assert StepClock.loop is not None
        StepClock.bare_seconds.append(time_call(StepClock.loop.step, StepClock.loop.device))
        if trainer.is_last_batch:
            StepClock.start_times.append(time.perf_counter())


def measure_lightning(network: str, size: int, device: str, precision: str, steps: int) -> dict[str, Any]:
    """Measures the steps of `fit` as the command runs it, with curves, previews, checkpoints and progress bar.

    Args:
        network: ``SlimVGG19`` or ``VGG19``.
        size: edge of the square image in px.
        device: ``cpu`` or ``cuda``.
        precision: ``32-true`` or ``bf16-mixed``.
        steps: number of timed steps.

    Returns:
        Seconds of the steps in ``fit`` and in the ``bare`` loop, and how much longer the former take in the mean
        (``cost``, as a share).
    """
    keep_freed_memory()
    StepClock.loop = BareLoop(network, size, device, precision)
    inside, bare = _time_fit(network, size, device, precision, steps + WARM_UP_STEPS)
    inside, bare = inside[WARM_UP_STEPS:], bare[WARM_UP_STEPS:]
    return {"fit": summarize(inside), "bare": summarize(bare), "cost": mean(inside) / mean(bare) - 1}


def _time_fit(network: str, size: int, device: str, precision: str, steps: int) -> tuple[list[float], list[float]]:
    """Returns the seconds of each step in `fit` and of each step of the bare loop in between."""
    # Imported here, because importing the command line takes seconds.
    from nst_lightning.cli.transfer_cli import TransferCLI

    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/content.png", f"{folder}/style.png"]
        for file, image in zip(files, load_images(size, "cpu"), strict=True):
            write_image(file, image)
        with quiet_lightning():
            TransferCLI(_fit_arguments(files, folder, network, size, device, precision, steps)).build().fit()
    both = [end - start for start, end in pairwise(StepClock.start_times)]
    bare = list(StepClock.bare_seconds)
    return [whole - part for whole, part in zip(both, bare, strict=True)], bare


def _fit_arguments(
    files: list[str], folder: str, network: str, size: int, device: str, precision: str, steps: int
) -> list[str]:
    style = f"{{class_path: GramLoss, init_args: {{layers: [{', '.join(GRAM_LAYERS)}], weight: 1.0e+6}}}}"
    content = "{class_path: ContentLoss, init_args: {layers: [conv_3]}}"
    options = {
        "data.content": files[0],
        "data.style": files[1],
        "data.plan.size": size,
        "data.plan.steps": steps,
        "model.backbone": network,
        "model.losses": f"{{content: {content}, style: {style}}}",
        "threads": torch.get_num_threads(),  # those of the bare loop
        "trainer.accelerator": "gpu" if device == "cuda" else device,
        "trainer.precision": precision,
        "trainer.logger.init_args.save_dir": folder,
        "trainer.callbacks": f"{__name__}.StepClock",
    }
    return [f"--{key}={value}" for key, value in options.items()]
