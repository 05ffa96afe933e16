"""The engine that sends jobs to a Ray cluster."""

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from nst_lightning.errors import InputError
from nst_lightning.study.engine.backbone_cache import BackboneCache
from nst_lightning.study.engine.local_engine import JobResult, ReportSteps, paint_job
from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.study.engine.run_records import write_failure

# How often a job restarts after its worker died.
RETRIES = 5


def run_on_ray(
    jobs: Sequence[PaintJob], report: ReportSteps, address: str | None, gpus_per_run: float
) -> Iterator[JobResult]:
    """Paints jobs on the workers of a Ray cluster, as many at once as it has resources for, and yields each when done.

    All workers need this package, and must see the study's folder and the pictures under the same paths. When a worker
    dies, another one resumes its job from the last checkpoint.

    Args:
        jobs: the jobs to paint.
        report: called with the number of steps of each finished job.
        address: address of a running cluster, or None to start one on this machine.
        gpus_per_run: share of a GPU for each job.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError('Expected Ray to be installed: pip install "nst_lightning[ray]".') from error
    _connect(ray, address)
    task = ray.remote(num_cpus=1, num_gpus=gpus_per_run, max_retries=RETRIES)(_paint_on_worker)
    pending = {task.remote(job, os.getcwd()): job for job in jobs}
    try:
        while pending:
            (reference, *_), _waiting = ray.wait(list(pending), num_returns=1)
            job = pending.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayError as error:
                for run in job.runs:
                    write_failure(run.folder(job.output), " ".join(str(error).split()))
            report(sum(run.steps for run in job.runs))
            yield JobResult(job, is_interrupted=False)
    finally:
        # After Ctrl-C, or if the caller stops early.
        for reference in pending:
            ray.cancel(reference)
        if pending:
            ray.wait(list(pending), num_returns=len(pending), timeout=60)
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    # Fails fast if nothing listens: `ray.init` would block for minutes and then end the process.
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise InputError(f"Expected a Ray cluster at {address}, but nothing listens there ({error}).") from error
    options = {} if address is not None else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"Expected a Ray cluster at {address}, but: {error}") from error


def _paint_on_worker(job: PaintJob, directory: str) -> None:
    """Paints a job in the process of a worker."""
    os.chdir(directory)
    paint_job(job, BackboneCache(job.runs), lambda steps: None)
