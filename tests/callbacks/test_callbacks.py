import errno
import io
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor

from nst_lightning.callbacks import (
    CheckpointWriter,
    FiniteGuard,
    GracefulInterrupt,
    ImageLogger,
    ResultWriter,
    StageProgressBar,
)
from nst_lightning.callbacks.previews import encode_preview
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import DivergedError, InputError
from nst_lightning.images.io import Picture
from nst_lightning.losses import ContentLoss, Loss
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.run_folder import run_folder
from nst_lightning.training.run_state import RunState
from tests.helpers import TinyBackbone, smooth_image

CONTENT = smooth_image(12, 16, seed=1)


class ShiftOptimizer(torch.optim.Optimizer):
    """Adds a constant to every pixel at each step and ignores the gradient."""

    def __init__(self, params: Any, by: float) -> None:
        super().__init__(params, {"by": by})

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(self.param_groups[0]["by"])
        return loss


class ShiftLBFGS(torch.optim.LBFGS):
    """A subclass of L-BFGS that adds 1 to every pixel at each step."""

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(1.0)
        return loss


class BrokenLoss(ContentLoss):
    """A content loss that is NaN from the given evaluation on."""

    def __init__(self, evaluation: int) -> None:
        super().__init__(["conv_1"])
        self.left = evaluation

    def layer_distances(self, features: Any) -> dict[str, Tensor]:
        self.left -= "conv_1" in features
        return {k: v * (float("nan") if self.left <= 0 else 1.0) for k, v in super().layer_distances(features).items()}


def fit_module(
    *callbacks: pl.Callback, optimizer: Any = None, loss: Loss | None = None, steps: int = 3, **options: Any
) -> StyleTransfer:
    data = TransferData.from_pictures(Picture(CONTENT), [], Plan(size=16, steps=steps))
    extra = {} if optimizer is None else {"optimizer": optimizer}
    module = StyleTransfer(TinyBackbone(), {"content": loss or ContentLoss(["conv_1"])}, "noise", **extra)
    trainer = pl.Trainer(
        enable_checkpointing=any(isinstance(callback, CheckpointWriter) for callback in callbacks),
        **({"logger": False, "enable_progress_bar": False} | options),
        callbacks=list(callbacks),
        accelerator="cpu",
        max_epochs=1,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return module


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*is deprecated:FutureWarning",  # Lightning 2.6 calls torch in a deprecated way
    "ignore:The number of training batches",
)


def test_image_is_clipped_with_a_first_order_optimizer() -> None:
    assert fit_module(optimizer=lambda p: ShiftOptimizer(p, 1.0)).image.detach().max() == 1
    assert fit_module(optimizer=lambda p: ShiftOptimizer(p, -1.0)).image.detach().min() == 0


def test_image_is_not_clipped_with_lbfgs() -> None:
    assert fit_module(optimizer=ShiftLBFGS).image.detach().max() > 3


def test_finite_guard_keeps_the_last_finite_image() -> None:
    module_images: list[Tensor] = []

    class Keep(pl.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, *unused: Any) -> None:
            module_images.append(pl_module.image.detach().clone())

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            module_images.append(pl_module.image.detach().clone())

    with pytest.raises(DivergedError, match="it became nan at step 3"):
        fit_module(FiniteGuard(), Keep(), loss=BrokenLoss(3), steps=9)
    # The steps start with images 0, 1 and 2; the third evaluation fails, and its start is kept.
    assert len(module_images) == 4
    assert torch.equal(module_images[3], module_images[2])


def test_finite_guard_keeps_the_start_image_if_the_first_loss_is_nan() -> None:
    images: list[Tensor] = []

    class Keep(pl.Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            images.append(pl_module.image.detach().clone())

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            images.append(pl_module.image.detach().clone())

    with pytest.raises(DivergedError, match="at step 1"):
        fit_module(FiniteGuard(), Keep(), optimizer=lambda p: ShiftOptimizer(p, float("nan")))
    assert torch.equal(images[0], images[1])


def test_graceful_interrupt_ends_between_steps_and_restores_the_handler() -> None:
    class Press(pl.Callback):
        def on_train_batch_start(self, *unused: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    interrupt = GracefulInterrupt()
    module = fit_module(interrupt, Press(), steps=50)
    assert interrupt.interrupted
    assert module.trainer.global_step == 1
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("hook", ["on_train_start", "on_train_batch_end"])
def test_graceful_interrupt_restores_the_handler_after_an_error(hook: str) -> None:
    class Fail(pl.Callback):
        def __init__(self) -> None:
            setattr(self, hook, self._fail)

        def _fail(self, *unused: Any) -> None:
            raise ZeroDivisionError

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        fit_module(GracefulInterrupt(), Fail(), steps=5)
    assert signal.getsignal(signal.SIGINT) is before


def create_logger(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(str(folder), name="run", version=0)


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
    assert set(saved) == {".last.ckpt.part"}
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


def test_result_is_written_on_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Fail(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *unused: Any) -> None:
            if trainer.global_step == 2:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit_module(ResultWriter(str(tmp_path / "a.png")), Fail(), steps=5)
    assert (tmp_path / "a.png").exists()
    assert "16x12 px, step 2 of 5" in capsys.readouterr().out


def test_progress_bar_reads_the_loss_only_when_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    original = Tensor.__float__

    def counting(value: Tensor) -> float:
        reads.append(1)
        return original(value)

    monkeypatch.setattr(Tensor, "__float__", counting)
    fit_module(StageProgressBar(), optimizer=lambda p: torch.optim.Adam(p), steps=25, enable_progress_bar=True)
    # At steps 10, 20 and 25, and at the end of the epoch.
    assert len(reads) == 4


def test_intervals_must_be_positive() -> None:
    with pytest.raises(InputError, match=r"`previews\.every_n_steps`"):
        ImageLogger(0)
    with pytest.raises(InputError, match=r"`checkpoints\.every_n_steps`"):
        CheckpointWriter(0)


def test_previews_have_a_limited_size() -> None:
    # TensorBoard computes a checksum of every byte in Python while the steps wait.
    for shape, expected in (((16, 2048), (1024, 8)), ((16, 20), (20, 16))):
        (value,) = encode_preview("image/stylized", torch.rand(1, 3, *shape)).value
        with Image.open(io.BytesIO(value.image.encoded_image_string)) as shown:
            assert (shown.format, shown.size) == ("JPEG", expected)
        assert (value.tag, value.image.width, value.image.height) == ("image/stylized", *expected)


def test_run_folder_and_steps_of_a_run(tmp_path: Path) -> None:
    trainer = pl.Trainer(logger=create_logger(tmp_path), max_steps=7, accelerator="cpu")
    data = TransferData.from_pictures(Picture(CONTENT), [], Plan(size=512, steps=5, ladder="octaves"))
    run = RunState(trainer, StyleTransfer(TinyBackbone(), {"content": ContentLoss(["conv_1"])}), data)
    assert run.folder == tmp_path / "run" / "version_0"
    assert run.planned_steps == 7
    assert run_folder(pl.Trainer(logger=False, max_epochs=1, accelerator="cpu")) is None
