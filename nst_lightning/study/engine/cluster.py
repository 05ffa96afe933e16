"""The engine that sends runs to a Ray cluster."""

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nst_lightning.errors import InputError
from nst_lightning.study.engine.local import Outcome, Tick, work
from nst_lightning.study.engine.networks import Networks
from nst_lightning.study.engine.paint import Job
from nst_lightning.study.engine.records import write_failure

RETRIES = 5
"""How often a job is taken up again after its worker died."""


def run_on_ray(jobs: Sequence[Job], tick: Tick, address: str | None, gpus_per_run: float) -> Iterator[Outcome]:
    """Paints jobs on the workers of a Ray cluster, as many at once as it has room for.

    The workers see the study's folder and the pictures under the same paths, on a file system that all share, and have
    this package installed. When a worker dies, another one takes its job up from the last checkpoint.

    Args:
        jobs: what to paint.
        tick: is told of the steps of a job when it is done.
        address: of an existing cluster, or None to start one on this machine.
        gpus_per_run: share of a GPU that a job takes.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    ray = _ray()
    _connect(ray, address)
    task = ray.remote(num_cpus=1, num_gpus=gpus_per_run, max_retries=RETRIES)(_work)
    pending = {task.remote(job, os.getcwd()): job for job in jobs}
    try:
        while pending:
            (done, *_), _left = ray.wait(list(pending), num_returns=1)
            job = pending.pop(done)
            _collect(ray, done, job)
            tick(sum(run.steps for run in job.runs))
            yield Outcome(job, interrupted=False)
    finally:
        for reference in pending:
            ray.cancel(reference)
        if pending:
            ray.wait(list(pending), num_returns=len(pending), timeout=60)
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError('Expected Ray to be installed: pip install "nst_lightning[ray]".') from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    _check_reachable(address)
    started = {} if address is not None else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **started)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"Expected a Ray cluster at {address}, but: {error}") from error


def _check_reachable(address: str | None) -> None:
    """Knocks at the door of a cluster, for Ray itself waits minutes there and then ends the process."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise InputError(f"Expected a Ray cluster at {address}, but nobody answers there ({error}).") from error


def _work(job: Job, directory: str) -> None:
    """What a worker does; it runs in another process."""
    os.chdir(directory)
    work(job, Networks(job.runs), lambda steps: None)


def _collect(ray: Any, reference: Any, job: Job) -> None:
    """Notes in the runs' folders why a job could not be brought to its end."""
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        for run in job.runs:
            write_failure(Path(run.folder(job.output)), " ".join(str(error).split()))
