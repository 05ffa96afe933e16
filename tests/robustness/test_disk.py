"""Disks that are full, read-only or slow, and a run folder that is removed."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from nst_lightning.__main__ import main
from tests.cli.transfer_run import OPTIONS, read_checkpoint, run_folder
from tests.helpers import write_pair

QUIET = [*OPTIONS, "--data.plan.steps=6", "--checkpoints.every_n_steps=2", "--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def pictures(empty_folder: Path) -> None:
    write_pair(empty_folder)


def find_partial_files() -> list[Path]:
    return [path for path in Path().rglob("*") if path.name.endswith(".part")]


def assert_one_line(capsys: pytest.CaptureFixture[str], *texts: str) -> None:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert all(text in line for text in texts), line


def assert_continues_with_the_bits_of_an_undisturbed_run() -> None:
    assert main([*QUIET, "--ckpt_path=last"]) == 0
    assert main(QUIET) == 0
    assert torch.equal(*(read_checkpoint(number)["state_dict"]["image"] for number in (0, 1)))
    pictures = [(run_folder(number) / "stylized.png").read_bytes() for number in (0, 1)]
    assert pictures[0] == pictures[1]
    assert not find_partial_files()


def fail_to_replace(monkeypatch: pytest.MonkeyPatch, number: int, fails: Callable[[Path], bool]) -> None:
    """Makes writing of some files fail as the disk does."""
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if fails(Path(target)):
            raise OSError(number, os.strerror(number), str(target))
        replace(source, target)

    monkeypatch.setattr("nst_lightning.images.atomic.os.replace", refuse)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_run_whose_second_checkpoint_cannot_be_written_continues_later(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        # From the second checkpoint on, nothing can be written.
        fail_to_replace(patch, number, lambda path: (run_folder() / "checkpoints" / "last.ckpt").exists())
        assert main(QUIET) == 1
    texts = {errno.ENOSPC: "free some disk space", errno.EROFS: "make the folder writable"}
    assert_one_line(capsys, os.strerror(number), texts[number], "--ckpt_path last")
    assert read_checkpoint()["global_step"] == 2
    assert not find_partial_files()
    assert_continues_with_the_bits_of_an_undisturbed_run()


def test_picture_that_cannot_be_written_is_written_by_the_same_command_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        fail_to_replace(patch, errno.ENOSPC, lambda path: path.suffix == ".png")
        assert main(QUIET) == 1
    assert_one_line(capsys, "No space left", "stylized.png")
    assert read_checkpoint()["global_step"] == 6
    assert_continues_with_the_bits_of_an_undisturbed_run()


def test_output_is_written_although_the_run_folder_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_replace(monkeypatch, errno.ENOSPC, lambda path: path.name == "stylized.png")
    assert main([*QUIET, "--output=result.png"]) == 1
    assert Path("result.png").exists()


@pytest.mark.parametrize("name", ["live.json", "preview.webp"])
def test_run_goes_to_its_end_without_live_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_replace(monkeypatch, errno.ENOSPC, lambda path: path.name == name)
    assert main(QUIET) == 0
    assert not (run_folder() / name).exists()
    assert not find_partial_files()


def test_events_of_tensorboard_that_cannot_be_written_end_the_run_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Any, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    assert main(QUIET) == 1
    assert_one_line(capsys, "No space left", "free some disk space")
    assert not find_partial_files()


class RemoveFolder(pl.Callback):
    """Removes the run folder at the start of the fourth step."""

    def on_train_batch_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        if trainer.global_step == 3:
            shutil.rmtree(run_folder())


def test_run_whose_folder_is_removed_writes_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    status = main([*QUIET, f"--trainer.callbacks+={__name__}.{RemoveFolder.__name__}"])
    # The writer of TensorBoard may notice it.
    if status:
        assert_one_line(capsys, "No such file")
    assert read_checkpoint()["global_step"] == 6
    assert not find_partial_files()


def test_slow_disk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(QUIET) == 0
    replace, written = os.replace, []

    def wait(source: Path, target: Path) -> None:
        written.append(target)
        time.sleep(0.2)
        replace(source, target)

    monkeypatch.setattr("nst_lightning.images.atomic.os.replace", wait)
    assert main(QUIET) == 0
    assert len(written) >= 5
    assert torch.equal(*(read_checkpoint(number)["state_dict"]["image"] for number in (0, 1)))
