"""One test for each name of `training/private_api.py`; its docstring says what breaks when a library moves the name."""

import ast
import logging
import signal
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.multiprocessing.spawn import spawn

import nst_lightning
from nst_lightning.__main__ import main
from nst_lightning.callbacks import GracefulInterrupt
from nst_lightning.cli.parser import Parser
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import StepLoader, TransferData
from nst_lightning.errors import UsageError
from nst_lightning.images.io import Picture
from nst_lightning.losses import ContentLoss
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.private_api import (
    CHATTER,
    CHATTY_LOGGERS,
    WARNINGS,
    chooses_version,
    count_steps,
    fit_loop_state,
    is_connection_lost,
    is_exit_after_interrupt,
    is_out_of_memory,
    set_batches,
    set_loops,
    set_version,
    stage_number,
    unknown_option,
)
from nst_lightning.training.ranks import Ranks
from tests.helpers import TinyBackbone, ignore_lightning_warnings, smooth_image

pytestmark = ignore_lightning_warnings

# The private names of libraries in use.
PRIVATE_NAMES = ("_FitLoop", "_ProcessedTracker", "_batches_that_stepped", "_data_fetcher", "_version")


def create_module() -> StyleTransfer:
    return StyleTransfer(TinyBackbone(), {"content": ContentLoss(["conv_1"])}, "noise")


def create_data(**plan: Any) -> TransferData:
    return TransferData.from_pictures(Picture(smooth_image(12, 16)), [], Plan(**({"size": 16, "steps": 4} | plan)))


def create_trainer(*callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        reload_dataloaders_every_n_epochs=1,
        **(quiet | {"max_epochs": 1} | options),
    )


def test_stage_number() -> None:
    """A checkpoint names the wrong stage and a run resumes with an image of the wrong size."""
    seen: list[int] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
            seen.append(stage_number(trainer.fit_loop))

    fitted = create_trainer(Watch(), max_epochs=2)
    fitted.fit(create_module(), datamodule=create_data(size=32, steps=2, ladder="octaves", smallest=16))
    assert seen == [0, 0, 1, 1]
    assert stage_number(fitted.fit_loop) == 1


def test_count_steps() -> None:
    """`global_step`, curves and `max_steps` count training steps in place of evaluations."""
    seen: list[int] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
            seen.append(trainer.global_step)

    fitted = create_trainer(Watch())
    fitted.fit(create_module(), datamodule=create_data(steps=7, iterations_per_step=3))
    assert seen == [3, 6, 7]
    count_steps(fitted.fit_loop, 2)
    assert fitted.global_step == 9
    assert fitted.fit_loop.epoch_loop._batches_that_stepped == 9


@pytest.mark.parametrize("step", [1, 4])
def test_set_batches(step: int) -> None:
    """A run that gets more steps ends after those of its plan, or does not end."""

    class Extend(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
            if trainer.global_step == step:
                data.add_steps(2)
                loader = trainer.train_dataloader
                assert isinstance(loader, StepLoader)
                loader.steps = set_batches(trainer.fit_loop, 6 - step)

    fitted = create_trainer(Extend())
    data = create_data(steps=4)
    fitted.fit(create_module(), datamodule=data)
    assert fitted.fit_loop.epoch_loop.batch_progress.current.ready == 6


def test_fit_loop_state_and_set_loops(tmp_path: Path) -> None:
    """A run resumes at another step than the one it stopped at."""
    path = tmp_path / "cut.ckpt"
    cut = create_trainer(max_steps=3, max_epochs=2)
    cut.fit(create_module(), datamodule=create_data(size=32, steps=4, ladder="octaves", smallest=16))
    cut.save_checkpoint(path)
    loops = fit_loop_state(torch.load(path, weights_only=True))
    set_loops(loops, stage=0, batch=3)
    assert loops["epoch_loop.batch_progress"]["current"]["completed"] == 2
    batches: list[tuple[int, int, int]] = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            batches.append((trainer.current_epoch, batch_idx, trainer.global_step))

    resumed = create_trainer(Watch(), max_epochs=2)
    resumed.fit(
        create_module(), datamodule=create_data(size=32, steps=4, ladder="octaves", smallest=16), ckpt_path=path
    )
    assert batches == [(0, 3, 3), (1, 0, 4), (1, 1, 5), (1, 2, 6), (1, 3, 7)]


def test_is_exit_after_interrupt() -> None:
    """Ctrl-C before the first step exits with status 1 in place of 130, and later presses are ignored."""

    class Press(pl.Callback):
        def on_fit_start(self, *unused: Any) -> None:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as caught:
        create_trainer(GracefulInterrupt(), Press()).fit(create_module(), datamodule=create_data())
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, handler)
    assert is_exit_after_interrupt(caught.value)
    assert not is_exit_after_interrupt(SystemExit(1))


def test_is_out_of_memory() -> None:
    """A picture that does not fit ends in a traceback in place of advice."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("expected a tensor"))


def wait_for_a_peer(rank: int, store: str) -> None:
    """Loses the connection in the first of two processes."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    dist.barrier()
    if rank == 0:
        with pytest.raises(RuntimeError) as caught:
            dist.all_reduce(torch.zeros(1))
        assert is_connection_lost(caught.value)
        with pytest.raises(RuntimeError) as caught:
            Ranks(0, 2).swap({1: torch.zeros(1)}, {1: torch.zeros(1)})
        assert is_connection_lost(caught.value)


def test_is_connection_lost(tmp_path: Path) -> None:
    """The processes of a run on several devices end in tracebacks when one of them dies."""
    spawn(wait_for_a_peer, (str(tmp_path / "store"),), nprocs=2)  # type: ignore[no-untyped-call]
    assert is_connection_lost(dist.DistNetworkError("The client socket has timed out"))
    assert not is_connection_lost(RuntimeError("expected a tensor"))
    assert not is_connection_lost(torch.OutOfMemoryError("CUDA out of memory"))


def test_unknown_option(tmp_path: Path) -> None:
    """`--trainer.max_epochs` is rejected as unknown, without the option to use instead."""
    parser, run = Parser(), Parser()
    run.add_argument("--config", action="config")
    run.add_argument("--trainer.devices", type=int)
    parser.add_subcommands().add_subcommand("fit", run)
    (tmp_path / "a.yaml").write_text("trainer: {max_epochs: 3}\n")
    for args in (["--trainer.max_epochs=3"], ["--trainer.max_epochs", "3"], [f"--config={tmp_path / 'a.yaml'}"]):
        with pytest.raises(UsageError) as caught:
            parser.parse_args(["fit", *args])
        assert "because each stage of the plan is one epoch" in str(caught.value), args
    assert unknown_option("Parser key 'data.plan.size': invalid value") is None


def test_chatty_loggers_and_chatter(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Lightning writes lines about devices and seeds above the progress bar of each run."""
    caplog.set_level(logging.INFO)

    def fit(folder: Path) -> None:
        pl.seed_everything(1)
        create_trainer(ModelSummary(), logger=TensorBoardLogger(folder)).fit(
            create_module(), datamodule=create_data(steps=1)
        )
        create_trainer(precision="bf16-mixed")

    loud = logging.getLogger("lightning.pytorch"), logging.getLogger("lightning.fabric")
    for logger in loud:
        logger.addHandler(caplog.handler)
    try:
        fit(tmp_path / "loud")
        seen = [record for record in caplog.records if record.name.startswith("lightning.")]
        caplog.clear()
        with quiet_lightning():
            fit(tmp_path / "quiet")
            logging.getLogger("lightning.pytorch.utilities.rank_zero").info("Time limit reached.")
    finally:
        for logger in loud:
            logger.removeHandler(caplog.handler)
    starts = {start for start in CHATTER for record in seen if record.getMessage().strip().startswith(start)}
    assert {
        "Using bfloat16 Automatic Mixed Precision",
        "GPU available:",
        "TPU available:",
        "Seed set to",
        "`Trainer.fit` stopped:",
        "| Name",
    } <= starts
    assert {record.name for record in seen} <= set(CHATTY_LOGGERS)
    assert {record.getMessage() for record in caplog.records} == {"Time limit reached."}


def test_warnings(tmp_path: Path) -> None:
    """A run prints warnings that do not apply to it, for example that a resumed run's curves are deleted."""
    seen: list[str] = []

    def fit() -> None:
        logger = CSVLogger(tmp_path, name="run", version=0)
        create_trainer(logger=logger, log_every_n_steps=50).fit(create_module(), datamodule=create_data())

    fit()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
        seen = [str(warning.message) for warning in caught]
        caught.clear()
        with quiet_lightning():
            fit()
        assert not caught
    for text in ("The number of training batches", "Experiment logs directory"):
        assert any(message.startswith(text) for message in seen)
        assert any(text in pattern for pattern, _ in WARNINGS)


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        ([], "add --config transfer"),
        (["--config=assignment"], "use python -m nst_lightning study"),
        (["--config=transfer", "--model.losses.stile.weight=3"], "the name of a term of the recipe"),
    ],
)
def test_explain_parser_error(args: list[str], advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's own messages, which do not say what to do, reach the user."""
    assert main(["fit", *args]) == 2
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize("kind", [TensorBoardLogger, CSVLogger])
def test_version_of_a_logger(kind: type[TensorBoardLogger | CSVLogger], tmp_path: Path) -> None:
    """Several runs that start at once write into one folder."""
    assert not chooses_version(kind(tmp_path, "run", version="given"))
    logger = kind(tmp_path, "run")
    assert chooses_version(logger)
    set_version(logger, 3)
    assert not chooses_version(logger)
    assert Path(logger.log_dir) == tmp_path / "run" / "version_3"


def test_private_names_are_used_in_no_other_file() -> None:
    """Private names spread through the package again, where no test says what breaks."""
    package = Path(nst_lightning.__file__).parent
    trees = {path: ast.parse(path.read_text()) for path in package.rglob("*.py")}
    own = {node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    own |= {
        node.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    users: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr not in own:
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("nst_lightning"):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.startswith("_") and not name.startswith("__"):
                    users.setdefault(name, set()).add(path.name)
    for public in ("_asdict", "_replace", "_exit"):  # of named tuples and os
        users.pop(public, None)
    assert users == {key: {"private_api.py"} for key in PRIVATE_NAMES}
