"""Runs on the workers of a Ray cluster."""

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.helpers import finish_command, release, wait_for_pause
from tests.study.studies import (
    create_pausing_section,
    create_section,
    read_pictures,
    read_results,
    run_study,
    start_study,
    write_study,
)

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_ray_resumes_the_run_of_a_killed_worker_and_repeats_no_other(tmp_path: Path) -> None:
    axes = {"model.losses.style.weight": [1, 10, 100]}
    write_study(tmp_path, create_pausing_section(tmp_path, steps=12, pause_at=8, axes=axes))
    process = start_study("--engine=ray")
    try:
        worker, *_ = wait_for_pause(process)
        os.kill(worker, signal.SIGKILL)
        release()
        output, _ = finish_command(process)
    finally:
        process.kill()
    assert output.count(": 12 steps") == 3
    results = read_results()
    assert [line["state"] for line in results] == ["done"] * 3
    # The killed run starts twice, the second time from its checkpoint.
    assert sorted(line["starts"] for line in results) == ["1", "1", "2"]
    assert run_study(output="local") == 0
    local, remote = read_pictures("local"), read_pictures("out")
    assert list(local) == list(remote)
    assert all(torch.equal(local[name], remote[name]) for name in local)


def test_ray_rejects_an_unreachable_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, create_section())
    assert run_study("--engine=ray", "--ray.address=127.0.0.1:1") == 1
    assert "Expected a Ray cluster at 127.0.0.1:1" in capsys.readouterr().err
