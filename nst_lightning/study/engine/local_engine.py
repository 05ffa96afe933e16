"""The engine that paints in this process, one job after another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl

from nst_lightning.errors import InputError
from nst_lightning.study.engine.backbone_cache import BackboneCache
from nst_lightning.study.engine.batch import paint_batch
from nst_lightning.study.engine.paint import PaintJob, failure_message, paint_run
from nst_lightning.study.engine.run_records import write_failure
from nst_lightning.training.run_state import RunState

# Function that is called with the number of steps since its last call.
ReportSteps = Callable[[int], object]


@dataclass(frozen=True)
class JobResult:
    """A job that has ended. Whether its runs succeeded is in their folders.

    Attributes:
        job: the job.
        is_interrupted: whether Ctrl-C ended the job early.
    """

    job: PaintJob
    is_interrupted: bool


class ProgressReporter(pl.Callback):
    """Reports the steps of a run.

    Args:
        report: called with the number of steps since the last call.
        every_n_steps: least number of steps between two calls.
    """

    def __init__(self, report: ReportSteps, every_n_steps: int = 10) -> None:
        self.report = report
        self.every_n_steps = every_n_steps
        self._unreported = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Reports the steps if there are enough of them."""
        self._unreported += RunState.of(trainer).module.step_evaluations
        if self._unreported >= self.every_n_steps:
            self._report()

    def on_train_end(self, *unused: Any) -> None:
        """Reports the remaining steps."""
        self._report()

    def _report(self) -> None:
        self.report(self._unreported)
        self._unreported = 0


def run_locally(jobs: Sequence[PaintJob], report: ReportSteps) -> Iterator[JobResult]:
    """Paints jobs in their order and yields each when it has ended; after Ctrl-C no further job starts.

    Args:
        jobs: the jobs to paint.
        report: called with the number of steps since the last call.
    """
    backbones = BackboneCache(run for job in jobs for run in job.runs)
    for job in jobs:
        is_interrupted = paint_job(job, backbones, report)
        yield JobResult(job, is_interrupted)
        if is_interrupted:
            return


def paint_job(job: PaintJob, backbones: BackboneCache, report: ReportSteps) -> bool:
    """Paints a job. If a batch fails, its runs are painted one by one, so that only the faulty run fails.

    Args:
        job: the job.
        backbones: cache of the backbones.
        report: called with the number of steps since the last call.

    Returns:
        Whether Ctrl-C ended the job early.
    """
    try:
        backbone = backbones.get(job.runs[0])
    except InputError as error:
        for run in job.runs:
            write_failure(run.folder(job.output), failure_message(error))
        return False
    if len(job.runs) > 1:
        reporter = ProgressReporter(lambda steps: report(steps * len(job.runs)))
        is_interrupted = paint_batch(job.runs, job.output, backbone, [reporter])
        if is_interrupted is not None:
            return is_interrupted
    return any(paint_run(run, job.output, backbone, [ProgressReporter(report)]) for run in job.runs)
