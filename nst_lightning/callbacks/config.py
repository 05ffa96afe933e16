"""The resolved configuration of a run, kept with it."""

from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from nst_lightning.callbacks.run_folder import CONFIGURATION, run_folder
from nst_lightning.images.atomic import write_bytes


class RunConfig(SaveConfigCallback):
    """Keeps the resolved configuration: `config.yaml`, TensorBoard's text tab, and its table of hyper-parameters."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Saves it, where the run has a folder, and shows it as text."""
        folder = run_folder(trainer)
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / CONFIGURATION, self._dumped().encode())
        for logger in _tensorboards(trainer):
            text = "\n".join(f"    {line}" for line in self._dumped().splitlines())
            logger.experiment.add_text("configuration", text)
            logger.hparams.update(_hyperparameters(yaml.safe_load(self._dumped())))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Puts the final losses beside the hyper-parameters."""
        final = {f"final/{name}": value for name, value in pl_module.terms.items()}  # type: ignore[operator, union-attr]
        for logger in _tensorboards(trainer):
            logger.log_hyperparams(_hyperparameters(yaml.safe_load(self._dumped())), final, step=trainer.global_step)

    def _dumped(self) -> str:
        """The configuration as YAML, without what belongs to this start of the run alone."""
        config = self.config.clone()
        config.ckpt_path = None
        if isinstance(config.trainer.logger, Namespace) and "version" in config.trainer.logger.init_args:
            config.trainer.logger.init_args.version = None
        return str(self.parser.dump(config, skip_none=False))


def _tensorboards(trainer: Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def _hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration makes one picture differ from another."""
    kept = {name: config[name] for name in ("seed_everything", "data", "model")}
    flat = {name.replace("init_args.", ""): value for name, value in _flat(kept).items()}
    return {name: value for name, value in flat.items() if value != "None"}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys; lists as text, for TensorBoard's table knows no others."""
    if isinstance(value, dict):
        return {key: leaf for name, v in value.items() for key, leaf in _flat(v, f"{prefix}{name}.").items()}
    plain = value if isinstance(value, int | float | str | bool) else str(value)
    return {prefix.removesuffix("."): plain}
