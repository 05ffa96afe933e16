"""Options of Lightning's Trainer: those that work as usual, and those that are rejected in favor of ours."""

import csv
import importlib.util
import inspect
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import pytest
import torch
import yaml
from jsonargparse import Namespace, dict_to_namespace
from lightning.pytorch.callbacks import EarlyStopping, ProgressBar, TQDMProgressBar
from lightning.pytorch.loggers.logger import Logger

from nst_lightning.__main__ import main
from nst_lightning.callbacks import StageProgressBar
from nst_lightning.cli.run_versions import find_last_run
from nst_lightning.cli.trainer_options import REJECTED_OPTIONS, check_device_count, check_devices
from nst_lightning.errors import InputError, UsageError
from tests.helpers import QUICK_VGG19, TRANSFER, TRANSFER_TERMS, run_command, write_pair

# RichProgressBar is tested only if Rich is installed, since the package does not depend on it.
RICH = [["RichProgressBar"]] if importlib.util.find_spec("rich") else []
OWN_BARS = [[f"{__name__}.OwnBar"], ["TQDMProgressBar"], *RICH]
TENSORBOARD = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "logs", "name": "both"}}
CSV = {"class_path": "CSVLogger", "init_args": {"save_dir": "logs", "name": "both"}}


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


class ServiceLogger(Logger):
    """A logger of a service, such as Weights & Biases: it has no `log_dir`, and may have no `save_dir`.

    Args:
        save_dir: folder of all runs.
        name: of the project.
        version: of the run; the service chooses one unless given.
    """

    runs = 0

    def __init__(self, save_dir: str | None = None, name: str = "project", version: str | None = None) -> None:
        super().__init__()
        self._save_dir, self._name, self._version = save_dir, name, version

    @property
    def save_dir(self) -> str | None:
        return self._save_dir

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str | None:
        return self._version

    @property
    def experiment(self) -> None:
        """Starts the run, which gives it a version."""
        if self._version is None:
            ServiceLogger.runs += 1
            self._version = f"run{ServiceLogger.runs:02d}"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Does nothing."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the transfer recipe, small, in an empty folder."""
    write_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ServiceLogger, "runs", 0)

    def fit(*args: str) -> int:
        layers = ["--model.losses.style.layers=[conv_1,conv_2]"]
        pictures = ["--data.content=content.png", "--data.style=style.png"]
        return main(["fit", f"--config={TRANSFER}", *QUICK_VGG19, *layers, *pictures, *args])

    return fit


def write_logger_config(*loggers: dict[str, Any]) -> str:
    """Writes a configuration with loggers and returns the option that loads it."""
    Path("loggers.yaml").write_text(yaml.safe_dump({"trainer": {"logger": list(loggers)}}))
    return "--config=loggers.yaml"


def read_stylized(folder: Path) -> torch.Tensor:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    found: torch.Tensor = checkpoint["state_dict"]["image"]
    return found


WATCH = f"--trainer.callbacks+={__name__}.Watch"


def test_progress_bar_can_be_disabled(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--trainer.enable_progress_bar", "false", WATCH) == 0
    assert RunRecorder.bars == []
    printed = capsys.readouterr()
    assert "step 2 of 2" in printed.out
    assert "it/s" not in printed.err + printed.out


def test_progress_bar_is_ours_by_default(run: Any) -> None:
    assert run(WATCH) == 0
    assert [type(bar) for bar in RunRecorder.bars] == [StageProgressBar]


@pytest.mark.parametrize("bar", OWN_BARS, ids=str)
def test_progress_bar_of_the_user_replaces_ours(run: Any, bar: list[str]) -> None:
    assert run(WATCH, f"--trainer.callbacks+={bar[0]}") == 0
    assert [type(found).__name__ for found in RunRecorder.bars] == [bar[0].rpartition(".")[2]]


@pytest.mark.usefixtures("run")
def test_profiler_prints_only_its_report() -> None:
    # In another process, since pytest configures the loggers of this one.
    options = [*QUICK_VGG19, "--trainer.profiler", "simple", "--trainer.enable_progress_bar", "false"]
    _, errors = run_command("fit", f"--config={TRANSFER}", *options)
    assert "Profiler Report" in errors
    before = errors[: errors.index("FIT Profiler Report")]
    assert before.strip() == ""


def test_early_stopping_monitors_a_loss(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss/total"]
    plan = ["--data.plan.ladder=octaves", "--data.plan.smallest=8"]
    threshold = ["--trainer.callbacks.stopping_threshold=1e9", "--trainer.callbacks.verbose=true"]
    with caplog.at_level(logging.INFO, "lightning.pytorch.callbacks.early_stopping"):
        assert run(*plan, *stop, *threshold) == 0
    folder = Path("logs/transfer/version_0")
    # The plan has three stages of two steps; the first one ends below the threshold.
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert run(*plan, *stop) == 0
    folder = Path("logs/transfer/version_1")
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6


def test_early_stopping_accepts_max_steps(run: Any) -> None:
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss/style"]
    assert run("--data.plan.steps=5", "--trainer.max_steps=3", *stop) == 0


def test_callback_metrics_contain_the_terms_of_each_stage(run: Any) -> None:
    plan = ["--data.plan.ladder=octaves", "--data.plan.smallest=16", "--data.plan.steps=3"]
    stages = [f"--trainer.callbacks+={__name__}.WatchStages", "--trainer.callbacks.monitor=loss/total"]
    assert run(*plan, WATCH, *stages) == 0
    assert len(RunRecorder.metrics) == 3
    names = {"loss/total", *(f"loss/{term}" for term in TRANSFER_TERMS)}
    assert RunRecorder.metrics[0] == RunRecorder.metrics[1] == dict.fromkeys(names, 0.0)
    assert names <= set(RunRecorder.metrics[-1])


def test_csv_logger_works_alone(run: Any) -> None:
    options = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs", "--trainer.logger.name=csv"]
    for _ in range(2):
        assert run("--data.plan.steps=20", *options) == 0
    for number in (0, 1):
        folder = Path("logs/csv") / f"version_{number}"
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {"metrics.csv", "config.yaml", "stylized.png", "summary.json", "checkpoints/last.ckpt"} <= files


def read_rows(path: Path) -> dict[int, str]:
    with open(path, newline="") as file:
        return {int(row["step"]): row["loss/total"] for row in csv.DictReader(file) if row["loss/total"]}


@pytest.mark.parametrize("loggers", [[TENSORBOARD, CSV], [CSV, TENSORBOARD], [CSV]], ids=["tb-csv", "csv-tb", "csv"])
def test_several_loggers_share_a_run_folder_that_can_be_resumed(run: Any, loggers: list[dict[str, Any]]) -> None:
    options = [write_logger_config(*loggers), "--data.plan.steps=40"]
    assert run(*options) == 0
    assert run(*options, "--trainer.max_steps=25") == 0
    assert run(*options, "--ckpt_path=last") == 0
    folders = [Path("logs/both/version_0"), Path("logs/both/version_1")]
    assert sorted(Path("logs/both").iterdir()) == folders
    assert torch.equal(*(read_stylized(folder) for folder in folders))
    curves = [read_rows(folder / "metrics.csv") for folder in folders]
    assert list(curves[0]) == [9, 19, 29, 39]
    assert {step: float(value) for step, value in curves[0].items()} == pytest.approx(
        {step: float(value) for step, value in curves[1].items()}
    )
    saved = yaml.safe_load((folders[1] / "config.yaml").read_text())["trainer"]["logger"]
    assert [logger["init_args"]["version"] for logger in saved] == [None] * len(loggers)


@pytest.mark.parametrize("save_dir", ["logs", None])
def test_logger_without_log_dir_has_a_folder_for_each_run(run: Any, save_dir: str | None) -> None:
    arguments = {"name": "project", "save_dir": save_dir}
    options = [write_logger_config({"class_path": f"{__name__}.ServiceLogger", "init_args": arguments})]
    options += ["--snapshots.at_steps=[2]"]
    assert run(*options) == 0
    assert run(*options, "--trainer.max_steps=1") == 0
    assert run(*options, "--ckpt_path=last") == 0
    runs = Path(save_dir or "") / "project"
    assert sorted(path.name for path in runs.iterdir()) == ["run01", "run02"]
    for folder in runs.iterdir():
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {"config.yaml", "stylized.png", "summary.json", "checkpoints/last.ckpt", "step_000002.png"} == files
    assert torch.equal(read_stylized(runs / "run01"), read_stylized(runs / "run02"))


def create_logger_config(class_path: str, **arguments: Any) -> Namespace:
    """Returns the part of a parsed configuration that describes an object."""
    described: Namespace = dict_to_namespace({"class_path": class_path, "init_args": arguments})
    return described


def test_find_last_run_prefers_the_highest_number_then_the_newest(tmp_path: Path) -> None:
    logger = create_logger_config("TensorBoardLogger", save_dir=str(tmp_path), name="n", version=None)
    with pytest.raises(InputError, match=r"there is none at .*version_\*"):
        find_last_run(logger)
    for age, name in enumerate(["version_10", "version_9", "b", "a"]):
        path = tmp_path / "n" / name / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert find_last_run([logger])[1] == "version_10"
    for name in ("version_10", "version_9"):
        (tmp_path / "n" / name / "checkpoints" / "last.ckpt").unlink()
    assert find_last_run([logger, True]) == (tmp_path / "n" / "b" / "checkpoints" / "last.ckpt", "b")
    wandb = create_logger_config(
        "lightning.pytorch.loggers.WandbLogger", save_dir=None, name="label", project="n", version=None
    )
    assert find_last_run(wandb, tmp_path)[1] == "b"
    nothing: Any
    for nothing in (False, True, None, [], create_logger_config("MLFlowLogger", save_dir="logs")):
        with pytest.raises(InputError, match="name the checkpoint file instead"):
            find_last_run(nothing)


@pytest.mark.parametrize("option", REJECTED_OPTIONS)
def test_rejected_option_names_its_replacement(run: Any, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({"trainer": {option: 3}}))
    Path("trainer.yaml").write_text(yaml.safe_dump({option: 3}))
    shell: list[list[str]] = [[f"--trainer.{option}", "3"], [f"--trainer.{option}=3"]]
    for args in [*shell, ["--config=mine.yaml"], ["--trainer=trainer.yaml"]]:
        assert run(*args) == 2
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
            assert f"{option} " in printed, option


@pytest.mark.parametrize("devices", ["2", "[0,1]", "0,1"])
def test_devices_option_rejects_several_devices(run: Any, devices: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"--trainer.devices={devices}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Expected trainer.devices to be 1" in line
    assert "--trainer.accelerator" in line
    assert not Path("logs").exists()


def test_devices_option_accepts_all_spellings_of_one_device() -> None:
    for devices in (1, "1", [3], "0,", "auto", -1):
        check_devices(devices)
    check_device_count(pl.Trainer(accelerator="cpu", devices="auto", logger=False, max_epochs=1))
    with pytest.raises(UsageError, match="this machine has 2"):
        check_device_count(pl.Trainer(accelerator="cpu", devices=2, logger=False, max_epochs=1))
