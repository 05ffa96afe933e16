"""In how many processes a study paints."""

from pathlib import Path
from typing import Any

import pytest

from nst_lightning.study.engine import process_count
from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.study.engine.process_count import choose_process_count
from nst_lightning.study.spec.resolved_study import StudyRun
from nst_lightning.system.processor_load import LoadMeter


def create_jobs(
    count: int = 8, size: int = 192, steps: int = 300, batch: int = 1, threads: Any = "auto", accelerator: str = "cpu"
) -> list[PaintJob]:
    configuration = {
        "threads": threads,
        "data": {"plan": {"size": size, "steps": steps}},
        "trainer": {"accelerator": accelerator, "max_steps": -1},
    }
    runs = [StudyRun(f"key{n}", f"run {n}", configuration) for n in range(count * batch)]
    return [PaintJob(tuple(runs[n * batch : (n + 1) * batch]), Path("out")) for n in range(count)]


@pytest.fixture(autouse=True)
def four_free_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    set_machine(monkeypatch)


def set_machine(monkeypatch: pytest.MonkeyPatch, limit: int = 4, free: float = 4.0, memory: float = 1e11) -> None:
    monkeypatch.setattr(process_count, "thread_limit", lambda: limit)
    monkeypatch.setattr(LoadMeter, "free_cores", lambda self: free)
    monkeypatch.setattr(process_count, "free_bytes", lambda device: int(memory))


def test_small_pictures_are_painted_in_a_process_for_each_free_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_process_count(create_jobs()) == 4
    set_machine(monkeypatch, free=2.9)
    assert choose_process_count(create_jobs()) == 3
    set_machine(monkeypatch, limit=2)
    assert choose_process_count(create_jobs()) == 2


def test_there_are_not_more_processes_than_jobs() -> None:
    assert choose_process_count(create_jobs(count=3)) == 3
    assert choose_process_count(create_jobs(count=1)) == 1
    assert choose_process_count([]) == 1


def test_large_pictures_are_painted_in_a_single_process() -> None:
    assert choose_process_count(create_jobs(size=process_count.LARGEST_SIZE)) == 4
    assert choose_process_count(create_jobs(size=process_count.LARGEST_SIZE + 1)) == 1
    # A batch is one large picture.
    assert choose_process_count(create_jobs(size=process_count.LARGEST_SIZE, batch=2)) == 1
    assert choose_process_count(create_jobs(size=process_count.LARGEST_SIZE // 2, batch=4)) == 4
    assert choose_process_count([*create_jobs(), *create_jobs(count=1, size=2048)]) == 1


def test_short_studies_are_painted_in_a_single_process() -> None:
    assert choose_process_count(create_jobs(steps=2)) == 1
    assert choose_process_count(create_jobs(steps=2, count=1000)) == 4


def test_memory_limits_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, count in ((5e8, 1), (2.5e9, 2), (1e10, 4)):
        set_machine(monkeypatch, memory=memory)
        assert choose_process_count(create_jobs()) == count


@pytest.mark.parametrize(("options", "count"), [({"threads": 1}, 4), ({"threads": 2}, 1), ({"accelerator": "gpu"}, 1)])
def test_runs_with_several_threads_or_a_gpu_are_painted_in_a_single_process(
    options: dict[str, Any], count: int
) -> None:
    assert choose_process_count(create_jobs(**options)) == count


@pytest.mark.parametrize(("limit", "free"), [(1, 4.0), (4, 1.0), (4, -1.0)])
def test_without_a_second_free_core_there_is_a_single_process(
    limit: int, free: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_machine(monkeypatch, limit=limit, free=free)
    assert choose_process_count(create_jobs()) == 1
