"""Several processes in one folder."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from nst_lightning.__main__ import main
from nst_lightning.cli.run_versions import reserve_version
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import remove_partial_files
from nst_lightning.system import folder_lock
from nst_lightning.system.folder_lock import claim_folder
from tests.cli import transfer_run
from tests.helpers import write_pair
from tests.study.studies import create_section, run_study, write_study

HOLD = """
import sys
from pathlib import Path
from nst_lightning.system.folder_lock import claim_folder
with claim_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    monkeypatch.setattr(folder_lock, "LOCK_SECONDS", 0.1)


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Starts a process that holds a folder until it is killed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    process = hold(Path(request.param))
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("held", ["out"], indirect=True)
def test_second_study_in_a_folder_is_refused_until_the_first_is_killed(
    held: "subprocess.Popen[str]", capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(Path(), create_section(axes={"model.losses.style.weight": [10]}))
    assert run_study() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Expected to write into")
    assert "another process paints there" in line
    assert not list(Path("out").iterdir())
    held.send_signal(signal.SIGKILL)
    held.wait()
    assert run_study() == 0


def test_run_that_is_painted_cannot_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    write_pair(Path())
    assert main(transfer_run.OPTIONS) == 0
    longer = [*transfer_run.OPTIONS, "--data.plan.steps=4", "--ckpt_path=last"]
    process = hold(transfer_run.run_folder())
    before = {path: path.read_bytes() for path in Path("logs").rglob("*") if path.is_file()}
    try:
        capsys.readouterr()
        assert main(longer) == 1
        assert "another process paints there" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in Path("logs").rglob("*") if path.is_file()} == before
    finally:
        process.kill()
        process.communicate()
    assert main(longer) == 0
    assert transfer_run.read_checkpoint()["global_step"] == 4


def test_folder_can_be_claimed_by_one_process_at_a_time(tmp_path: Path) -> None:
    with claim_folder(tmp_path / "a"), claim_folder(tmp_path / "b"):
        with pytest.raises(InputError, match="another process paints there"), claim_folder(tmp_path / "a"):
            pass
        assert not list((tmp_path / "a").iterdir())
    with claim_folder(tmp_path / "a"):
        pass


def test_loggers_that_choose_at_the_same_time_have_different_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if all of them had looked before the first one created its folder.
    monkeypatch.setattr(TensorBoardLogger, "_get_next_version", lambda self: 0)
    loggers = [TensorBoardLogger(tmp_path, "run") for _ in range(8)]
    for logger in loggers:
        reserve_version([logger])
    assert [logger.version for logger in loggers] == list(range(8))


def test_loggers_of_one_run_share_the_first_version_that_is_free_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "csv" / "version_0").mkdir(parents=True)
    # As if the folder had been created after the look.
    monkeypatch.setattr(CSVLogger, "_get_next_version", lambda self: 0)
    loggers = TensorBoardLogger(tmp_path, "tb"), CSVLogger(tmp_path, "csv")
    reserve_version(loggers)
    assert [logger.version for logger in loggers] == [1, 1]
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["version_0", "version_1", "version_1"]


def test_files_that_a_killed_process_has_left_are_removed() -> None:
    write_pair(Path())
    assert main(transfer_run.OPTIONS) == 0
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = transfer_run.run_folder() / "checkpoints" / f".last.ckpt.{ended.pid}.part"
    left.write_bytes(b"half")
    assert main([*transfer_run.OPTIONS, "--data.plan.steps=4", "--ckpt_path=last"]) == 0
    assert not left.exists()
    assert torch.isfinite(transfer_run.read_checkpoint()["state_dict"]["image"]).all()


def test_files_that_a_running_process_writes_are_kept(tmp_path: Path) -> None:
    names = [".control.json.1.part", ".notes.part", "1.part"]
    for name in names:
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
