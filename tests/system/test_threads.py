"""The number of threads of a run."""

import pytest
import torch

from nst_lightning.system import processor_load, threads
from nst_lightning.system.processor_load import LoadMeter
from nst_lightning.system.threads import choose_threads, paints_on_cpu, restore_threads, thread_limit, whole_free_cores
from tests.helpers import fake_threads
from tests.system.fake_machine import FakeMachine


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch would use two threads."""
    fake_threads(monkeypatch, 2)


@pytest.fixture
def meter(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, two_threads: None) -> LoadMeter:
    """A measurement that has begun, on a machine with two cores."""
    meter = LoadMeter()
    meter.start()
    monkeypatch.setattr(threads, "LOAD_METER", meter)
    return meter


@pytest.mark.parametrize(("load", "number"), [(0.0, 2), (0.25, 2), (0.35, 1), (1.0, 1), (2.0, 1)])
def test_auto_leaves_out_cores_that_others_use(
    machine: FakeMachine, meter: LoadMeter, load: float, number: int
) -> None:
    machine.pass_time(4, own=1, used=(1 + 2 * load, 2 * load))
    choice = choose_threads("auto")
    assert choice.number == number
    assert (choice.message is None) is (number == 2)


def test_auto_says_why_it_takes_fewer_threads(machine: FakeMachine, meter: LoadMeter) -> None:
    machine.pass_time(4, own=2, used=(4, 2))
    assert choose_threads("auto").message == (
        "Other processes use about 1.0 of 2 cores: painting with 1 thread; --threads 2 uses all."
    )


def test_auto_measures_nothing_with_a_single_thread(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_threads(monkeypatch, 1)  # as with OMP_NUM_THREADS=1
    assert choose_threads("auto") == threads.ThreadChoice(1)
    assert machine.clock == 100


def test_auto_takes_no_more_threads_than_torch(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.cores += [dict(machine.cores[0]) for _ in range(6)]
    machine.allowed = list(range(8))
    fake_threads(monkeypatch, 3)
    monkeypatch.setattr(threads, "LOAD_METER", LoadMeter())
    assert choose_threads("auto").number == 3


@pytest.mark.parametrize(("quota", "limit"), [("max", 2), ("200000", 2), ("175000", 2), ("150000", 1), ("20000", 1)])
def test_limit_respects_the_quota_of_a_container(
    machine: FakeMachine, two_threads: None, quota: str, limit: int
) -> None:
    (machine.control_groups / "cpu.max").write_text(f"{quota} 100000\n")
    assert thread_limit() == limit


def test_given_number_is_used_whatever_the_load(machine: FakeMachine, meter: LoadMeter) -> None:
    machine.pass_time(4, used=(4, 4))
    assert choose_threads(2) == threads.ThreadChoice(2)
    assert choose_threads(5) == threads.ThreadChoice(5)


@pytest.mark.parametrize("stored", [1, 2])
def test_resumed_run_repeats_the_stored_number_whatever_the_load(
    machine: FakeMachine, meter: LoadMeter, stored: int
) -> None:
    machine.pass_time(4, used=(4, 4) if stored == 2 else (0, 0))
    assert choose_threads("auto", stored, is_resumed=True) == threads.ThreadChoice(stored)


def test_resumed_run_without_a_number_uses_the_setting_of_torch(machine: FakeMachine, meter: LoadMeter) -> None:
    machine.pass_time(4, used=(4, 4))
    assert choose_threads("auto", None, is_resumed=True) == threads.ThreadChoice(2)


@pytest.mark.parametrize(("given", "stored", "number"), [(2, 1, 2), (1, 2, 1), ("auto", 8, 2)])
def test_other_number_than_the_stored_one_is_announced(
    machine: FakeMachine, two_threads: None, given: threads.Threads, stored: int, number: int
) -> None:
    choice = choose_threads(given, stored, is_resumed=True)
    assert choice.number == number
    assert choice.message is not None
    assert f"painted with {stored} thread" in choice.message
    assert f"continues with {number}: the result may differ in the last bits" in choice.message


@pytest.mark.parametrize("free", [-1.0, 0.0, 0.69, 0.71, 1.5, 1.71, 7.0])
def test_free_cores_are_between_one_and_the_limit(free: float) -> None:
    numbers = [whole_free_cores(limit, free) for limit in range(1, 9)]
    assert numbers[0] == 1
    assert numbers == sorted(numbers)
    assert max(numbers) == max(1, int(free + 0.3))


def test_accelerator_decides_whether_threads_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for has_gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert [paints_on_cpu(name) for name in ("cpu", "auto", "gpu", "cuda", "mps")] == [
            True,
            not has_gpu,
            False,
            False,
            False,
        ]


def test_number_of_threads_is_restored_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with restore_threads():
            torch.set_num_threads(before + 1)
            raise ValueError("any")

    with pytest.raises(ValueError, match="any"):
        fail()
    assert torch.get_num_threads() == before


def test_meter_of_the_process_has_begun_before_the_command_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    from nst_lightning import __main__, commands

    begun: list[str] = []
    monkeypatch.setattr(__main__, "LOAD_METER", processor_load.LoadMeter())
    monkeypatch.setattr(__main__, "request_huge_pages", lambda: None)
    monkeypatch.setattr(processor_load.LoadMeter, "start", lambda self: begun.append("meter"))

    def import_module(name: str) -> object:
        begun.append("import")
        return __main__

    monkeypatch.setattr(commands, "import_module", import_module)
    for command in commands.COMMANDS:
        begun.clear()
        __main__.import_command(command)
        assert begun == (["meter", "import"] if command in {"fit", "study"} else ["import"])
