"""Runs in several processes of one thread each."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from nst_lightning.study.engine import process_engine
from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.study.engine.process_engine import run_in_processes
from nst_lightning.study.engine.run_records import read_failure, read_status
from tests.helpers import finish_command, release, wait_for_pause
from tests.study.studies import (
    create_pausing_section,
    create_section,
    list_run_folders,
    read_pictures,
    read_results,
    resolve_study,
    run_study,
    start_study,
    write_study,
)

pytestmark = pytest.mark.usefixtures("empty_folder")


def assert_same_pictures(first: str, second: str) -> None:
    pictures, others = read_pictures(first), read_pictures(second)
    assert list(pictures) == list(others)
    assert all(torch.equal(pictures[name], others[name]) for name in pictures)


def list_left_processes(pids: list[int], seconds: float = 60) -> list[int]:
    """Waits for the end of processes and returns those that are still there."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def test_processes_paint_the_pictures_of_a_single_one_bitwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    axes = {"data.style": ["style.png", "broken.png", "content.png", "missing.png"]}
    write_study(tmp_path, create_section(axes=axes, snapshots=[2, 4]))
    assert run_study("--jobs=2") == 1
    out, err = capsys.readouterr()
    assert out.count(": 4 steps") == 2
    assert "2/4 runs" in err
    assert "2 of 4 runs failed" in err
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert run_study("--jobs=1", output="alone") == 1
    assert_same_pictures("out", "alone")
    for ours, theirs in zip(read_results("out"), read_results("alone"), strict=True):
        assert ours | {"seconds": ""} == theirs | {"seconds": ""}
    for folder in list_run_folders():
        if read_status(folder) == "done":
            assert yaml.safe_load((folder / "config.yaml").read_text())["threads"] == 1


def test_processes_paint_batches(tmp_path: Path) -> None:
    write_study(tmp_path, create_section(axes={"model.losses.style.weight": [1, 10, 100, 1000]}))
    assert run_study("--jobs=2", "--batch=2") == 0
    assert len(list(Path("out/batches").iterdir())) == 2
    assert run_study("--jobs=1", "--batch=2", output="alone") == 0
    assert_same_pictures("out", "alone")


def test_job_of_a_killed_process_resumes_and_no_other_is_repeated(tmp_path: Path) -> None:
    axes = {"model.losses.style.weight": [1, 10, 100]}
    write_study(tmp_path, create_pausing_section(tmp_path, steps=12, pause_at=8, axes=axes))
    process = start_study("--jobs=2")
    try:
        painter, _ = wait_for_pause(process, processes=2)
        os.kill(painter, signal.SIGKILL)
        release()
        output, errors = finish_command(process)
    finally:
        process.kill()
    assert output.count(": 12 steps") == 3
    assert "3/3 runs" in errors
    results = read_results()
    assert [line["state"] for line in results] == ["done"] * 3
    assert sorted(line["starts"] for line in results) == ["1", "1", "2"]
    assert run_study(output="alone") == 0
    assert_same_pictures("out", "alone")


def test_ctrl_c_stops_all_processes_after_their_step(tmp_path: Path) -> None:
    axes = {"model.losses.style.weight": [1, 10, 100]}
    write_study(tmp_path, create_pausing_section(tmp_path, steps=2000, pause_at=8, axes=axes))
    process = start_study("--jobs=2")
    try:
        painters = wait_for_pause(process, processes=2)
        # A terminal sends Ctrl-C to all processes.
        for pid in [*painters, process.pid]:
            os.kill(pid, signal.SIGINT)
        release()
        _, errors = finish_command(process, 130)
    finally:
        process.kill()
    assert errors.count("Stopping after this step") == 1
    assert "run the same command to resume" in errors
    assert "Traceback" not in errors
    assert list_left_processes(painters) == []
    assert sorted(line["state"] for line in read_results()) == ["begun", "begun", "new"]
    assert all(8 <= int(line["steps"]) < 2000 for line in read_results() if line["state"] == "begun")


def test_processes_stop_if_the_study_is_killed(tmp_path: Path) -> None:
    write_study(tmp_path, create_pausing_section(tmp_path, steps=2000, pause_at=8))
    process = start_study("--jobs=2")
    try:
        painters = wait_for_pause(process, processes=2)
    finally:
        process.kill()
        release()
    # Its output ends with that of its processes.
    process.communicate(timeout=300)
    assert list_left_processes(painters) == []
    assert [read_status(folder) for folder in list_run_folders()] == ["begun", "begun"]


def end_at_once(*unused: Any) -> None:
    os._exit(3)


def test_job_whose_process_dies_twice_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = resolve_study(tmp_path, create_section()).runs
    jobs = [PaintJob((run,), tmp_path) for run in runs]
    monkeypatch.setattr(process_engine, "paint_jobs", end_at_once)
    reported: list[int] = []
    results = list(run_in_processes(jobs, reported.append, 2))
    assert {result.job for result in results} == set(jobs)
    assert not any(result.is_interrupted for result in results)
    assert sum(reported) == 0
    for run in runs:
        message = read_failure(run.folder(tmp_path))
        assert "ended with status 3, for the second time: if memory is short, --jobs 1" in message


def test_jobs_are_rejected_with_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, create_section())
    assert run_study("--engine=ray", "--jobs=2") == 1
    assert capsys.readouterr().err == (
        "error: Expected --jobs with --engine local, but got --engine ray, which uses all cores: drop one.\n"
    )
