"""Loggers of `fit` and the run folders that they give."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import Namespace, dict_to_namespace
from lightning.pytorch.loggers.logger import Logger

from nst_lightning.cli.run_versions import find_last_run
from nst_lightning.errors import InputError

TENSORBOARD = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "logs", "name": "both"}}
CSV = {"class_path": "CSVLogger", "init_args": {"save_dir": "logs", "name": "both"}}


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
def run_transfer_with_service(run_transfer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the transfer recipe; the service of :class:`ServiceLogger` has no runs yet."""
    monkeypatch.setattr(ServiceLogger, "runs", 0)
    return run_transfer


def write_logger_config(*loggers: dict[str, Any]) -> str:
    """Writes a configuration with loggers and returns the option that loads it."""
    Path("loggers.yaml").write_text(yaml.safe_dump({"trainer": {"logger": list(loggers)}}))
    return "--config=loggers.yaml"


def read_stylized(folder: Path) -> torch.Tensor:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    actual: torch.Tensor = checkpoint["state_dict"]["image"]
    return actual


def test_csv_logger_works_alone(run_transfer: Any) -> None:
    options = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs", "--trainer.logger.name=csv"]
    for _ in range(2):
        assert run_transfer("--data.plan.steps=20", *options) == 0
    for number in (0, 1):
        folder = Path("logs/csv") / f"version_{number}"
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {"metrics.csv", "config.yaml", "stylized.png", "summary.json", "checkpoints/last.ckpt"} <= files


def read_rows(path: Path) -> dict[int, str]:
    with open(path, newline="") as file:
        return {int(row["step"]): row["loss/total"] for row in csv.DictReader(file) if row["loss/total"]}


@pytest.mark.parametrize("loggers", [[TENSORBOARD, CSV], [CSV, TENSORBOARD], [CSV]], ids=["tb-csv", "csv-tb", "csv"])
def test_several_loggers_share_a_run_folder_that_can_be_resumed(
    run_transfer: Any, loggers: list[dict[str, Any]]
) -> None:
    options = [write_logger_config(*loggers), "--data.plan.steps=40"]
    assert run_transfer(*options) == 0
    assert run_transfer(*options, "--trainer.max_steps=25") == 0
    assert run_transfer(*options, "--ckpt_path=last") == 0
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
def test_logger_without_log_dir_has_a_folder_for_each_run(run_transfer_with_service: Any, save_dir: str | None) -> None:
    arguments = {"name": "project", "save_dir": save_dir}
    options = [write_logger_config({"class_path": f"{__name__}.ServiceLogger", "init_args": arguments})]
    options += ["--snapshots.at_steps=[2]"]
    assert run_transfer_with_service(*options) == 0
    assert run_transfer_with_service(*options, "--trainer.max_steps=1") == 0
    assert run_transfer_with_service(*options, "--ckpt_path=last") == 0
    runs = Path(save_dir or "") / "project"
    assert sorted(path.name for path in runs.iterdir()) == ["run01", "run02"]
    for folder in runs.iterdir():
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        written = {"config.yaml", "stylized.png", "summary.json", "checkpoints/last.ckpt", "step_000002.png"}
        assert written | {"preview.webp", "live.json"} == files
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
