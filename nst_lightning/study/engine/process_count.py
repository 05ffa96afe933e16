"""Chooses in how many processes a study paints on this machine."""

from collections.abc import Sequence

import torch

from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.system.memory import free_bytes
from nst_lightning.system.processor_load import LOAD_METER
from nst_lightning.system.threads import paints_on_cpu, thread_limit, whole_free_cores

# Largest size in px at which several processes of one thread are faster than one with several threads.
LARGEST_SIZE = 256

# Pixels of all steps from which on the start of processes, of a few seconds, is earned back: 300 steps at 256 px.
LEAST_WORK = 300 * 256 * 256

# Memory of a process, and of each pixel in addition (VGG-19 in float32).
PROCESS_BYTES = 10**9
PIXEL_BYTES = 2000


def choose_process_count(jobs: Sequence[PaintJob]) -> int:
    """Chooses the number of processes: one for each free core if the pictures are small, else one.

    Args:
        jobs: the jobs to paint.
    """
    limit = min(thread_limit(), len(jobs))
    if limit < 2 or not all(_prefers_one_thread(job) for job in jobs):
        return 1
    pixels = [_count_pixels(job) for job in jobs]
    work = sum(count * job.runs[0].steps for count, job in zip(pixels, jobs, strict=True))
    if max(pixels) > LARGEST_SIZE**2 or work < LEAST_WORK:
        return 1
    free = free_bytes(torch.device("cpu")) or 0
    by_memory = free // (PROCESS_BYTES + PIXEL_BYTES * max(pixels))
    return max(1, min(whole_free_cores(limit, LOAD_METER.free_cores()), by_memory))


def _prefers_one_thread(job: PaintJob) -> bool:
    configurations = [run.configuration for run in job.runs]
    return all(c["threads"] in ("auto", 1) and paints_on_cpu(str(c["trainer"]["accelerator"])) for c in configurations)


def _count_pixels(job: PaintJob) -> int:
    """Returns the pixels of a step of the largest size; the pictures may be smaller, if they are not square."""
    return sum(int(run.configuration["data"]["plan"]["size"]) ** 2 for run in job.runs)
