"""Options of Lightning's Trainer: those that work as usual, and those that are rejected in favor of ours."""

import importlib.util
import inspect
import logging
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, ProgressBar, TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy

from nst_lightning.__main__ import main
from nst_lightning.callbacks import StageProgressBar
from nst_lightning.cli.trainer_options import REJECTED_OPTIONS, check_strategy, count_processes
from nst_lightning.errors import UsageError
from tests.helpers import QUICK_VGG19, TRANSFER, TRANSFER_TERMS, run_command

# RichProgressBar is tested only if Rich is installed, since the package does not depend on it.
RICH = [["RichProgressBar"]] if importlib.util.find_spec("rich") else []
USER_BARS = [[f"{__name__}.UserProgressBar"], ["TQDMProgressBar"], *RICH]


class UserProgressBar(TQDMProgressBar):
    """A user's progress bar."""


class RunRecorder(pl.Callback):
    """Records the progress bars of a run and the metrics at the end of its stages."""

    bars: ClassVar[list[ProgressBar]] = []
    metrics: ClassVar[list[dict[str, float]]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        RunRecorder.bars = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
        RunRecorder.metrics = []

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        RunRecorder.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class StageRecorder(EarlyStopping):
    """Records by how much the metrics of each stage differ from the terms of its last step."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        last = {f"loss/{name}": float(value) for name, value in pl_module.terms.items()}  # type: ignore[operator, union-attr]
        RunRecorder.metrics.append(
            {name: float(trainer.callback_metrics[name]) - value for name, value in last.items()}
        )


RECORD = f"--trainer.callbacks+={__name__}.RunRecorder"


def test_progress_bar_can_be_disabled(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_transfer("--trainer.enable_progress_bar", "false", RECORD) == 0
    assert RunRecorder.bars == []
    printed = capsys.readouterr()
    assert "step 2 of 2" in printed.out
    assert "it/s" not in printed.err + printed.out


def test_progress_bar_is_ours_by_default(run_transfer: Any) -> None:
    assert run_transfer(RECORD) == 0
    assert [type(bar) for bar in RunRecorder.bars] == [StageProgressBar]


@pytest.mark.parametrize("bar", USER_BARS, ids=str)
def test_progress_bar_of_the_user_replaces_ours(run_transfer: Any, bar: list[str]) -> None:
    assert run_transfer(RECORD, f"--trainer.callbacks+={bar[0]}") == 0
    assert [type(actual).__name__ for actual in RunRecorder.bars] == [bar[0].rpartition(".")[2]]


@pytest.mark.usefixtures("run_transfer")
def test_profiler_prints_only_its_report() -> None:
    # In another process, since pytest configures the loggers of this one.
    options = [*QUICK_VGG19, "--trainer.profiler", "simple", "--trainer.enable_progress_bar", "false"]
    _, errors = run_command("fit", f"--config={TRANSFER}", *options)
    assert "Profiler Report" in errors
    before = errors[: errors.index("FIT Profiler Report")]
    assert before.strip() == ""


def test_early_stopping_monitors_a_loss(run_transfer: Any, caplog: pytest.LogCaptureFixture) -> None:
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss/total"]
    plan = ["--data.plan.ladder=octaves", "--data.plan.smallest=8"]
    threshold = ["--trainer.callbacks.stopping_threshold=1e9", "--trainer.callbacks.verbose=true"]
    with caplog.at_level(logging.INFO, "lightning.pytorch.callbacks.early_stopping"):
        assert run_transfer(*plan, *stop, *threshold) == 0
    folder = Path("logs/transfer/version_0")
    # The plan has three stages of two steps; the first one ends below the threshold.
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert run_transfer(*plan, *stop) == 0
    folder = Path("logs/transfer/version_1")
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6


def test_early_stopping_accepts_max_steps(run_transfer: Any) -> None:
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss/style"]
    assert run_transfer("--data.plan.steps=5", "--trainer.max_steps=3", *stop) == 0


def test_callback_metrics_contain_the_terms_of_each_stage(run_transfer: Any) -> None:
    plan = ["--data.plan.ladder=octaves", "--data.plan.smallest=16", "--data.plan.steps=3"]
    stages = [f"--trainer.callbacks+={__name__}.StageRecorder", "--trainer.callbacks.monitor=loss/total"]
    assert run_transfer(*plan, RECORD, *stages) == 0
    assert len(RunRecorder.metrics) == 3
    names = {"loss/total", *(f"loss/{term}" for term in TRANSFER_TERMS)}
    assert RunRecorder.metrics[0] == RunRecorder.metrics[1] == dict.fromkeys(names, 0.0)
    assert names <= set(RunRecorder.metrics[-1])


@pytest.mark.parametrize("option", REJECTED_OPTIONS)
def test_rejected_option_names_its_replacement(
    run_transfer: Any, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({"trainer": {option: 3}}))
    Path("trainer.yaml").write_text(yaml.safe_dump({option: 3}))
    shell: list[list[str]] = [[f"--trainer.{option}", "3"], [f"--trainer.{option}=3"]]
    for args in [*shell, ["--config=mine.yaml"], ["--trainer=trainer.yaml"]]:
        assert run_transfer(*args) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"error: Expected no trainer.{option}, because {REJECTED_OPTIONS[option]}."
        assert "use --" in line
    assert not Path("logs").exists()


def test_rejected_options_exist_in_lightning_and_name_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(REJECTED_OPTIONS) <= set(inspect.signature(pl.Trainer).parameters)
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    printed = capsys.readouterr().out
    for advice in REJECTED_OPTIONS.values():
        for option in (word for word in advice.split() if word.startswith("--")):
            # From Python 3.13 on, a comma and the second spelling follow an option that has two.
            assert f"{option} " in printed or f"{option}, " in printed, option


def test_processes_of_this_machine_share_its_cores() -> None:
    for devices, count in ((1, 1), ("1", 1), (2, 2), (" 3 ", 3), ("auto", 1), (-1, 1), ([0, 1], 1)):
        assert count_processes("cpu", devices) == count
    assert count_processes("cuda", 2) == 1


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_strategies_that_share_an_image_are_accepted(strategy: str) -> None:
    check_strategy(strategy)


def test_other_strategies_are_refused() -> None:
    with pytest.raises(UsageError, match="auto or ddp, but got fsdp"):
        check_strategy("fsdp")
    with pytest.raises(UsageError, match="but got DDPStrategy"):
        check_strategy(DDPStrategy())
