"""A machine whose counters of used time a test advances."""

import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from nst_lightning.system import processor_load

CoreTimes = namedtuple("CoreTimes", ["user", "nice", "system", "idle", "iowait", "steal", "guest"])


class FakeMachine:
    """Two cores, without a container.

    Args:
        monkeypatch: replaces the functions that read the counters.
        control_groups: empty folder for the files of a container.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, control_groups: Path) -> None:
        self.clock, self.own, self.control_groups = 100.0, 7.0, control_groups
        self.cores = [dict.fromkeys(CoreTimes._fields, 10.0) for _ in range(2)]
        self.allowed = [0, 1]
        monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [CoreTimes(**core) for core in self.cores])
        monkeypatch.setattr(time, "process_time", lambda: self.own)
        monkeypatch.setattr(time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(time, "sleep", self.pass_time)
        monkeypatch.setattr(processor_load, "allowed_cores", lambda: self.allowed)
        monkeypatch.setattr(processor_load, "CONTROL_GROUPS", control_groups)

    def pass_time(self, seconds: float, own: float = 0.0, used: tuple[float, float] = (0.0, 0.0)) -> None:
        """Advances the counters.

        Args:
            seconds: the time that passes.
            own: CPU time of this process, which is part of the used time.
            used: time that the first two cores were busy.
        """
        self.clock += seconds
        self.own += own
        for core, busy in zip(self.cores, used, strict=False):
            core["user"] += busy
            core["idle"] += max(0.0, seconds - busy)
