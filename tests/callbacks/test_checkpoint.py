import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from nst_lightning.callbacks import (
    CheckpointWriter,
    ImageLogger,
)
from nst_lightning.errors import InputError
from tests.callbacks.fits import CONTENT, create_logger, fit_module
from tests.helpers import ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


def test_checkpoint_is_written_on_an_error_but_not_during_an_update(tmp_path: Path) -> None:
    class Fail(pl.Callback):
        def __init__(self, error: BaseException, hook: str) -> None:
            def fail(trainer: Any, *unused: Any) -> None:
                if trainer.global_step == 2:
                    raise error

            setattr(self, hook, fail)

    path = tmp_path / "run" / "version_0" / "checkpoints" / "last.ckpt"
    with pytest.raises(ZeroDivisionError):
        fit_module(
            CheckpointWriter(50),
            Fail(ZeroDivisionError(), "on_train_batch_start"),
            logger=create_logger(tmp_path),
            steps=5,
        )
    assert torch.load(path, weights_only=True)["nst_lightning"]["step"] == 2
    path.unlink()
    with pytest.raises(SystemExit):
        fit_module(
            CheckpointWriter(50),
            Fail(KeyboardInterrupt(), "on_before_optimizer_step"),
            logger=create_logger(tmp_path),
            steps=5,
        )
    assert not list(tmp_path.rglob("last.ckpt"))


def test_checkpoint_that_cannot_be_written_keeps_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run" / "version_0" / "checkpoints"
    original, saved = torch.save, []

    def full(checkpoint: Any, file: Any) -> None:
        # Written directly into its own file, next to the one that it will replace.
        saved.append(Path(file.name).name)
        if len(saved) > 1:
            file.write(b"a part")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(checkpoint, file)

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        fit_module(CheckpointWriter(2), logger=create_logger(tmp_path), steps=5)
    assert set(saved) == {f".last.ckpt.{os.getpid()}.part"}
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]
    assert torch.load(folder / "last.ckpt", weights_only=True)["nst_lightning"]["step"] == 2


def test_checkpoint_reserves_disk_space_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def full(file: int, start: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        fit_module(CheckpointWriter(2), logger=create_logger(tmp_path), steps=5)
    assert not list((tmp_path / "run" / "version_0" / "checkpoints").iterdir())
    # The image and the state of the optimizer, which has the size of the image.
    assert min(asked) > CONTENT.nbytes


def test_checkpoint_is_written_where_space_cannot_be_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(file: int, start: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("os.posix_fallocate", unsupported, raising=False)
    fit_module(CheckpointWriter(2), logger=create_logger(tmp_path), steps=5)
    (path,) = tmp_path.rglob("last.ckpt")
    assert zipfile.ZipFile(path).testzip() is None
    assert torch.load(path, weights_only=True)["nst_lightning"]["step"] == 5


def test_checkpoint_releases_unused_reserved_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst_lightning.callbacks.checkpoint._count_bytes", lambda value: 1_000_000)
    fit_module(CheckpointWriter(2), logger=create_logger(tmp_path), steps=5)
    (path,) = tmp_path.rglob("last.ckpt")
    assert path.stat().st_size < 100_000
    assert zipfile.ZipFile(path).testzip() is None


def test_checkpoints_are_by_default_hundreds_of_steps_and_ten_seconds_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    class Clock(pl.Callback):
        now = 0.0

        def on_train_batch_start(self, *unused: Any) -> None:
            Clock.now += 0.07

    monkeypatch.setattr("nst_lightning.callbacks.checkpoint.time.monotonic", lambda: Clock.now)
    monkeypatch.setattr(CheckpointWriter, "save", lambda self, run: saved.append(run.step))
    fit_module(CheckpointWriter(), Clock(), logger=create_logger(tmp_path), steps=520)
    # A hundred steps take 7 seconds; the end is always saved.
    assert saved == [200, 400, 520]


def test_checkpoint_is_kept_after_an_error_before_the_first_step(tmp_path: Path) -> None:
    fit_module(CheckpointWriter(50), logger=create_logger(tmp_path))
    (path,) = tmp_path.rglob("last.ckpt")
    before = path.read_bytes()

    class Fail(pl.Callback):
        def on_train_start(self, *unused: Any) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit_module(CheckpointWriter(50), Fail(), logger=create_logger(tmp_path))
    assert path.read_bytes() == before


def test_intervals_must_be_positive() -> None:
    with pytest.raises(InputError, match=r"`previews\.every_n_steps`"):
        ImageLogger(0)
    with pytest.raises(InputError, match=r"`checkpoints\.every_n_steps`"):
        CheckpointWriter(0)
