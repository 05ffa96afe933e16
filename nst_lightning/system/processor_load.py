"""How many cores other processes use. Without torch, so that a measurement can begin before torch is imported."""

import os
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

import psutil

# Fields of psutil's CPU times in which a core is free, or which another field contains already.
FREE_FIELDS = {"idle", "iowait", "guest", "guest_nice"}

# Shortest measurement in seconds: the kernel counts in hundredths.
SHORTEST_WINDOW = 0.5

# After these seconds a measurement that nobody has read begins again, because it describes the past.
LONGEST_WINDOW = 10.0

# Files of Linux control groups (version 2 or 1). A container sees those of its own group.
CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class CpuCounters:
    """Counters of used time, in seconds.

    Attributes:
        clock: the time itself.
        busy: time that the allowed cores were busy.
        group: CPU time of the container, or 0 if unknown.
        own: CPU time of this process.
    """

    clock: float
    busy: float
    group: float
    own: float


def allowed_cores() -> list[int]:
    """Returns the numbers of the cores that this process may use."""
    # The processor affinity is unknown on macOS.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(psutil.cpu_count() or 1))


def read_counters() -> CpuCounters:
    """Reads the counters of the system and of this process."""
    cores = psutil.cpu_times(percpu=True)
    # With cores that are switched off, the list is shorter and its order unknown.
    allowed = [cores[n] for n in allowed_cores() if n < len(cores)] or cores
    busy = sum(v for core in allowed for name, v in core._asdict().items() if name not in FREE_FIELDS)
    return CpuCounters(time.monotonic(), busy, _group_seconds(), time.process_time())


def total_cores() -> float:
    """Returns the number of cores that this process may use: the allowed ones, or the quota of the container."""
    return min(float(len(allowed_cores())), quota_cores())


def quota_cores() -> float:
    """Returns the number of cores that the control group of a container may use, infinity without a limit."""
    version_2, version_1 = CONTROL_GROUPS / "cpu.max", CONTROL_GROUPS / "cpu"
    if version_2.exists():
        quota, period = version_2.read_text().split()
    elif (version_1 / "cpu.cfs_quota_us").exists():
        quota, period = ((version_1 / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    else:
        return inf
    return int(quota) / int(period) if quota.isdigit() else inf


def _group_seconds() -> float:
    """Returns the CPU time of the control group in seconds, or 0 if it is unknown."""
    version_2, version_1 = CONTROL_GROUPS / "cpu.stat", CONTROL_GROUPS / "cpuacct" / "cpuacct.usage"
    if (CONTROL_GROUPS / "cpu.max").exists() and version_2.exists():
        return int(version_2.read_text().split()[1]) / 1e6  # the first line is `usage_usec N`
    return int(version_1.read_text()) / 1e9 if version_1.exists() else 0.0


class LoadMeter:
    """Measures how many cores other processes leave free, from :meth:`start` to :meth:`free_cores`."""

    def __init__(self) -> None:
        self._begin: CpuCounters | None = None

    def start(self) -> None:
        """Begins a measurement, unless one has begun a short time ago."""
        if self._begin is None or time.monotonic() - self._begin.clock > LONGEST_WINDOW:
            self._begin = read_counters()

    def free_cores(self) -> float:
        """Ends the measurement, after a pause if it has just begun, and returns how many cores others leave free."""
        begin = self._begin or read_counters()
        time.sleep(max(0.0, begin.clock + SHORTEST_WINDOW - time.monotonic()))
        end, self._begin = read_counters(), None
        seconds, own = end.clock - begin.clock, end.own - begin.own
        # The counters advance in steps, those of this process in smaller ones.
        used = max(0.0, (end.busy - begin.busy - own) / seconds)
        used_of_quota = max(0.0, (end.group - begin.group - own) / seconds)
        return min(len(allowed_cores()) - used, quota_cores() - used_of_quota)


# The measurement of this process. `__main__` starts it before the imports, which take seconds.
LOAD_METER = LoadMeter()
