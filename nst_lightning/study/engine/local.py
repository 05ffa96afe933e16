"""The engine that paints in this process, one run after another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl

from nst_lightning.errors import InputError
from nst_lightning.study.engine.batch import paint_batch
from nst_lightning.study.engine.networks import Networks
from nst_lightning.study.engine.paint import Job, failure_message, paint
from nst_lightning.study.engine.records import write_failure

Tick = Callable[[int], None]
"""Is told of steps that were made."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its runs' folders say the rest.

    Attributes:
        job: the job.
        interrupted: whether Ctrl-C ended it before its end.
    """

    job: Job
    interrupted: bool


class Ticker(pl.Callback):
    """Tells of steps as they are made.

    Args:
        tick: is told.
        every_n_steps: how many at once.
    """

    def __init__(self, tick: Tick, every_n_steps: int = 10) -> None:
        self.tick = tick
        self.every_n_steps = every_n_steps
        self._untold = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Tells, when there are enough."""
        self._untold += pl_module.step_evaluations  # type: ignore[operator, assignment]
        if self._untold >= self.every_n_steps:
            self.tick(self._untold)
            self._untold = 0


def run_local(jobs: Sequence[Job], tick: Tick) -> Iterator[Outcome]:
    """Paints jobs in their order; each network is built once.

    Args:
        jobs: what to paint.
        tick: is told of steps.
    """
    networks = Networks(run for job in jobs for run in job.runs)
    for job in jobs:
        interrupted = work(job, networks, tick)
        yield Outcome(job, interrupted)
        if interrupted:
            return


def work(job: Job, networks: Networks, tick: Tick) -> bool:
    """Paints a job and returns whether Ctrl-C ended it.

    Runs of a batch that fails are painted one by one, so that those go on which can.
    """
    try:
        backbone = networks.of(job.runs[0])
    except InputError as error:
        for run in job.runs:
            write_failure(run.folder(job.output), failure_message(error))
        return False
    if len(job.runs) > 1:
        interrupted = paint_batch(job.runs, job.output, backbone, [Ticker(lambda n: tick(n * len(job.runs)))])
        if interrupted is not None:
            return interrupted
    return any(paint(run, job.output, backbone, [Ticker(tick)]) for run in job.runs)
