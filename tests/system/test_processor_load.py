"""How many cores other processes leave free."""

from math import inf

import psutil
import pytest

from nst_lightning.system.processor_load import LoadMeter, allowed_cores, quota_cores, read_counters, total_cores
from tests.system.fake_machine import FakeMachine


def start_meter() -> LoadMeter:
    meter = LoadMeter()
    meter.start()
    return meter


def test_load_does_not_contain_this_process(machine: FakeMachine) -> None:
    meter = start_meter()
    machine.pass_time(2, own=3, used=(2, 1))
    assert meter.free_cores() == pytest.approx(2)


def test_load_is_the_busy_time_of_others(machine: FakeMachine) -> None:
    meter = start_meter()
    machine.pass_time(4, own=2, used=(4, 1))
    assert meter.free_cores() == pytest.approx(2 - 3 / 4)


@pytest.mark.parametrize("name", ["user", "nice", "system", "idle", "iowait", "steal", "guest"])
def test_load_counts_every_kind_of_work_once(machine: FakeMachine, name: str) -> None:
    meter = start_meter()
    machine.pass_time(2)
    machine.cores[0][name] += 1
    # A core that waits for a disk is free, and the time of guests is part of the time of users.
    used = 0 if name in {"idle", "iowait", "guest"} else 0.5
    assert meter.free_cores() == pytest.approx(2 - used)


def test_load_of_cores_that_are_not_allowed_does_not_count(machine: FakeMachine) -> None:
    machine.allowed = [1]
    meter = start_meter()
    machine.pass_time(2, used=(2, 0.5))
    assert meter.free_cores() == pytest.approx(0.75)


def test_load_of_coarse_counters_is_not_negative(machine: FakeMachine) -> None:
    meter = start_meter()
    machine.pass_time(2, own=1.02, used=(1.01, 0))
    assert meter.free_cores() == 2


def test_load_in_a_container_is_also_that_of_its_quota(machine: FakeMachine) -> None:
    (machine.control_groups / "cpu.max").write_text("150000 100000\n")
    usage = machine.control_groups / "cpu.stat"
    usage.write_text("usage_usec 5000000\nuser_usec 0\n")
    meter = start_meter()
    machine.pass_time(2, own=1, used=(1.5, 1.5))
    usage.write_text("usage_usec 8000000\nuser_usec 0\n")
    assert total_cores() == 1.5
    # Another process of the container uses one of its 1.5 cores; one of the machine's two cores is free.
    assert meter.free_cores() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, inf),
        ({"cpu.max": "max 100000"}, inf),
        ({"cpu.max": "250000 100000"}, 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
    ],
)
def test_quota_is_read_from_both_versions_of_control_groups(
    machine: FakeMachine, files: dict[str, str], cores: float
) -> None:
    (machine.control_groups / "cpu").mkdir()
    for name, text in files.items():
        (machine.control_groups / name).write_text(f"{text}\n")
    assert quota_cores() == cores


def test_measurement_waits_if_it_has_just_begun(machine: FakeMachine) -> None:
    meter = LoadMeter()
    assert meter.free_cores() == 2
    assert machine.clock == 100.5
    meter.start()
    machine.pass_time(0.2, used=(0.1, 0))
    assert meter.free_cores() == pytest.approx(2 - 0.1 / 0.5)
    assert machine.clock == 101.0


def test_measurement_continues_until_it_describes_the_past(machine: FakeMachine) -> None:
    meter = start_meter()
    machine.pass_time(4, used=(4, 0))
    meter.start()
    machine.pass_time(4)
    assert meter.free_cores() == pytest.approx(1.5)
    meter.start()
    machine.pass_time(60, used=(60, 60))
    meter.start()
    machine.pass_time(1)
    assert meter.free_cores() == pytest.approx(2)


def test_counters_of_this_machine_advance() -> None:
    first = read_counters()
    assert sum(range(10**6)) > 0
    second = read_counters()
    assert second.clock > first.clock
    assert second.own > first.own
    assert second.busy >= first.busy
    assert 1 <= len(allowed_cores()) <= (psutil.cpu_count() or 1)
