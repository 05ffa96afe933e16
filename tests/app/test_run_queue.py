"""The queue: order, ends of processes, restarts. The processes are fakes, except in `test_bits.py`."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from PIL import Image

from nst_lightning.app import run_process
from nst_lightning.app.history import list_runs, thumbnail
from nst_lightning.app.records import ProcessMark, read_record
from nst_lightning.app.run_queue import MAX_WAITING, RunQueue
from nst_lightning.errors import InputError
from nst_lightning.training.steering import Steering
from tests.app.fakes import (
    DIES,
    FAILS,
    FINISHES,
    IGNORES,
    PAINTS_ON,
    make_painting,
    open_queue,
    start_fake,
    wait_for,
    wait_for_state,
)
from tests.helpers import ENVIRONMENT


def read_starts(queue: RunQueue, run: str) -> list[str]:
    return (queue.folder(run) / "starts.txt").read_text().splitlines()


def test_runs_are_painted_one_after_the_other_and_show_their_positions(fake_queue: RunQueue) -> None:
    first, second, third = (fake_queue.submit(make_painting(kind)) for kind in (PAINTS_ON, PAINTS_ON, FINISHES))
    wait_for_state(fake_queue, first, "painting")
    assert [fake_queue.view(run).position for run in (first, second, third)] == [None, 1, 2]
    fake_queue.stop(first)
    wait_for_state(fake_queue, first, "stopped")
    wait_for_state(fake_queue, second, "painting")
    assert fake_queue.view(third).position == 1
    fake_queue.stop(second)
    assert wait_for_state(fake_queue, third, "finished").position is None


def test_finished_run_has_a_result(fake_queue: RunQueue) -> None:
    view = wait_for_state(fake_queue, fake_queue.submit(make_painting(FINISHES)), "finished")
    assert view.error is None
    assert view.result == view.preview == fake_queue.folder(view.id) / "stylized.png"


def test_stopped_run_keeps_its_picture_and_continues_with_more_steps(fake_queue: RunQueue) -> None:
    run = fake_queue.submit(make_painting(PAINTS_ON))
    wait_for(fake_queue, run, lambda view: view.live is not None)
    fake_queue.stop(run)
    assert wait_for_state(fake_queue, run, "stopped").result is not None
    fake_queue.more_steps(run, 7)
    wait_for(fake_queue, run, lambda view: view.state == "painting" and len(read_starts(fake_queue, run)) == 2)
    assert read_starts(fake_queue, run) == ["new", str(fake_queue.folder(run) / "checkpoints" / "last.ckpt")]
    assert fake_queue.view(run).painting.more_steps == 7


def test_run_that_waits_is_removed_from_the_queue(fake_queue: RunQueue) -> None:
    first, second, third = (fake_queue.submit(make_painting(PAINTS_ON)) for _ in range(3))
    wait_for_state(fake_queue, first, "painting")
    fake_queue.stop(second)
    assert fake_queue.view(second).state == "stopped"
    assert fake_queue.view(third).position == 1
    assert second not in [view.id for view in list_runs(fake_queue.runs)]


def test_failure_is_one_line_without_the_folder_and_the_next_run_is_painted(fake_queue: RunQueue) -> None:
    failed, died = (fake_queue.submit(make_painting(kind)) for kind in (FAILS, DIES))
    view = wait_for_state(fake_queue, failed, "failed")
    assert view.error == f"Expected something in {failed}, but got nothing."
    error = wait_for_state(fake_queue, died, "failed").error
    assert error is not None
    assert "SIGKILL" in error
    wait_for_state(fake_queue, fake_queue.submit(make_painting(FINISHES)), "finished")


def test_painting_that_cannot_be_used_is_refused_before_it_has_a_folder(fake_queue: RunQueue) -> None:
    with pytest.raises(InputError):
        fake_queue.submit(make_painting(size=0))
    with pytest.raises(InputError, match="earlier run"):
        fake_queue.submit(make_painting(start="../x"))
    with pytest.raises(InputError, match="picture to start from"):
        fake_queue.submit(make_painting(start="r-0123456789abcdef"))
    assert list_runs(fake_queue.runs) == []


def test_queue_has_a_longest_length(fake_queue: RunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst_lightning.app.run_queue.MAX_WAITING", 1)
    first = fake_queue.submit(make_painting(PAINTS_ON))
    wait_for_state(fake_queue, first, "painting")
    fake_queue.submit(make_painting(PAINTS_ON))
    with pytest.raises(InputError, match="at most 1 runs"):
        fake_queue.submit(make_painting(PAINTS_ON))
    assert MAX_WAITING > 1


@pytest.mark.parametrize("run", ["", "..", "uploads", "r-0123456789abcdef", "r-0123456789abcdef/../uploads", None])
def test_unknown_run_is_refused(fake_queue: RunQueue, run: str) -> None:
    for method in (fake_queue.view, fake_queue.stop, fake_queue.folder):
        with pytest.raises(InputError):
            method(run)


def test_changes_reach_the_run_that_paints_only(fake_queue: RunQueue) -> None:
    first, second = (fake_queue.submit(make_painting(PAINTS_ON)) for _ in range(2))
    wait_for_state(fake_queue, first, "painting")
    fake_queue.steer(first, Steering(strength=0.25))
    fake_queue.more_steps(first, 3)
    control = json.loads((fake_queue.folder(first) / "control.json").read_text())
    assert control == {"strength": 0.25, "more_steps": 3}
    with pytest.raises(InputError, match="strength"):
        fake_queue.steer(first, Steering(strength=2.0))
    with pytest.raises(InputError, match="more_steps"):
        fake_queue.more_steps(first, -1)
    with pytest.raises(InputError, match="does not"):
        fake_queue.steer(second, Steering(stop=True))
    with pytest.raises(InputError):
        fake_queue.more_steps(second, 3)


@pytest.mark.parametrize("steps", [-1, 10**6, 0.5, True, "3"])
def test_number_of_more_steps_is_checked(fake_queue: RunQueue, steps: int) -> None:
    run = fake_queue.submit(make_painting(FINISHES))
    wait_for_state(fake_queue, run, "finished")
    with pytest.raises(InputError):
        fake_queue.more_steps(run, steps)
    assert fake_queue.view(run).state == "finished"


def test_curves_are_collected_while_a_run_paints(fake_queue: RunQueue) -> None:
    run = fake_queue.submit(make_painting(PAINTS_ON))
    curves = wait_for(fake_queue, run, lambda view: len(view.curves["step"]) > 2).curves
    assert list(curves) == ["step", "style", "total"]
    assert curves["step"] == sorted(set(curves["step"]))
    assert curves["total"] == [2 / step for step in curves["step"]]


def test_restarted_queue_continues_the_run_first_and_keeps_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_process, "start_fit", start_fake)
    queue = open_queue(tmp_path / "runs")
    first, second, third = (queue.submit(make_painting(PAINTS_ON)) for _ in range(3))
    wait_for(queue, first, lambda view: view.live is not None)
    mark = read_record(queue.folder(first)).process
    assert mark is not None
    queue.close()
    assert mark.find() is None
    assert queue.view(first).state == "painting"
    again = open_queue(tmp_path / "runs")
    try:
        wait_for(again, first, lambda view: view.state == "painting" and len(read_starts(again, first)) == 2)
        assert read_starts(again, first)[1].endswith("last.ckpt")
        assert [again.view(run).position for run in (second, third)] == [1, 2]
    finally:
        again.close()


def test_process_that_a_killed_server_left_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_process, "start_fit", start_fake)
    script = (
        "import os; from nst_lightning.app import run_process; from tests.app.fakes import *;"
        "run_process.start_fit = start_fake; queue = open_queue(Path('runs')); run = queue.submit(make_painting(2));"
        "wait_for(queue, run, lambda view: view.live is not None); print(run, flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script]
    killed = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = killed.stdout.strip()
    mark = read_record(tmp_path / "runs" / run).process
    assert mark is not None
    assert mark.find() is not None
    queue = open_queue(tmp_path / "runs")
    try:
        assert mark.find() is None
        wait_for(queue, run, lambda view: view.state == "painting" and len(read_starts(queue, run)) == 2)
    finally:
        queue.close()


def test_process_that_does_not_end_is_killed_at_the_end_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_process, "start_fit", start_fake)
    monkeypatch.setattr(run_process, "GRACE_SECONDS", 0.5)
    queue = open_queue(tmp_path / "runs")
    run = queue.submit(make_painting(IGNORES))
    wait_for(queue, run, lambda view: view.live is not None)
    mark = read_record(queue.folder(run)).process
    assert mark is not None
    queue.close()
    assert mark.find() is None
    assert queue.view(run).state == "painting"


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    runs = tmp_path / "runs"
    runs.mkdir()
    mark = ProcessMark(process.pid, psutil.Process(process.pid).create_time())
    (runs / "server.json").write_text(json.dumps({"pid": mark.pid, "started": mark.started}))
    with pytest.raises(InputError, match=rf"process {process.pid} uses"):
        open_queue(runs)
    process.communicate(b"\n")
    open_queue(runs).close()
    assert not (runs / "server.json").exists()


def test_run_starts_from_a_copy_of_another_result(fake_queue: RunQueue) -> None:
    first = fake_queue.submit(make_painting(FINISHES))
    wait_for_state(fake_queue, first, "finished")
    second = fake_queue.submit(make_painting(FINISHES, start=first))
    (fake_queue.folder(first) / "stylized.png").unlink()
    start = fake_queue.folder(second) / "start.png"
    assert start.read_bytes() == b"picture"
    wait_for_state(fake_queue, second, "finished")
    arguments = fake_queue.view(second).painting.arguments(fake_queue.files, fake_queue.folder(second))
    assert f"--model.initialization={start}" in arguments


def test_history_lists_the_newest_first_and_ignores_other_folders(fake_queue: RunQueue) -> None:
    runs = [fake_queue.submit(make_painting(FINISHES)) for _ in range(3)]
    for run in runs:
        wait_for_state(fake_queue, run, "finished")
    (fake_queue.runs / "r-0000000000000000").mkdir()
    (fake_queue.runs / "other").mkdir()
    (fake_queue.runs / "r-1111111111111111").symlink_to(fake_queue.folder(runs[0]))
    assert [view.id for view in list_runs(fake_queue.runs)] == runs[::-1]


def test_thumbnail_is_small_and_follows_its_picture(fake_queue: RunQueue) -> None:
    run = fake_queue.submit(make_painting(FINISHES))
    view = wait_for_state(fake_queue, run, "finished")
    # The fake writes no picture.
    assert thumbnail(view) is None
    assert view.result is not None
    Image.new("RGB", (80, 40), "red").save(view.result)
    path = thumbnail(view, 20)
    assert path is not None
    with Image.open(path) as small:
        assert small.size == (20, 10)
    Image.new("RGB", (40, 80), "red").save(view.result)
    os.utime(path, (0, 0))
    assert thumbnail(view, 20) == path
    with Image.open(path) as small:
        assert small.size == (10, 20)


def test_requests_of_many_threads_are_all_kept(fake_queue: RunQueue) -> None:
    first = fake_queue.submit(make_painting(PAINTS_ON))
    wait_for_state(fake_queue, first, "painting")
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: fake_queue.submit(make_painting(FINISHES)), range(16)))
        list(pool.map(lambda _: fake_queue.more_steps(first, 1), range(16)))
        list(pool.map(fake_queue.stop, runs[::2]))
    assert sorted(str(fake_queue.view(run).position) for run in runs[1::2]) == [str(n) for n in range(1, 9)]
    assert {fake_queue.view(run).state for run in runs[::2]} == {"stopped"}
    assert json.loads((fake_queue.folder(first) / "control.json").read_text()) == {"more_steps": 16}
