"""The resolved configuration of a run, saved with its results."""

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from nst_lightning.images.atomic import write_bytes
from nst_lightning.training.run_folder import CONFIG_NAME
from nst_lightning.training.run_state import RunState


class RunConfig(SaveConfigCallback):
    """Saves the resolved configuration as `config.yaml`, and in TensorBoard as text and as hyperparameters."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Saves the configuration if the run has a folder."""
        run = RunState.of(trainer)
        if run.folder is None:
            return
        config = self._to_yaml()
        write_bytes(run.folder / CONFIG_NAME, config.encode())
        for logger in run.tensorboard_loggers:
            # Lightning does not replace the file, which may be incomplete after a full disk.
            Path(logger.log_dir, logger.NAME_HPARAMS_FILE).unlink(missing_ok=True)
            # Markdown shows lines that are indented by four spaces as code.
            logger.experiment.add_text("configuration", "\n".join(f"    {line}" for line in config.splitlines()))
            logger.hparams.update(_hyperparameters(yaml.safe_load(config)))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds the final losses to the hyperparameters."""
        run = RunState.of(trainer)
        final = {f"final/{name}": value for name, value in run.terms.items()}
        for logger in run.tensorboard_loggers:
            hyperparameters = _hyperparameters(yaml.safe_load(self._to_yaml()))
            logger.log_hyperparams(hyperparameters, final, step=trainer.global_step)

    def _to_yaml(self) -> str:
        """Returns the configuration without the checkpoint and the version, so that it starts a new run.

        The changes of a replay are in the `steering.yaml` of the run, and in its checkpoint.
        """
        config = self.config.clone()
        config.ckpt_path = config.replay = None
        loggers = config.trainer.logger if isinstance(config.trainer.logger, list) else [config.trainer.logger]
        for logger in loggers:
            if isinstance(logger, Namespace) and "version" in logger.get("init_args", ()):
                logger.init_args.version = None
        return str(self.parser.dump(config, skip_none=False))


def _hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of a configuration that change the picture, with dotted names."""
    kept = {name: config[name] for name in ("seed_everything", "data", "model")}
    flat = {name.replace("init_args.", ""): value for name, value in _flatten(kept).items()}
    return {name: value for name, value in flat.items() if value != "None"}


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flattens nested mappings into one with dotted keys; lists become text, which is all that TensorBoard shows."""
    if isinstance(value, dict):
        return {key: leaf for name, v in value.items() for key, leaf in _flatten(v, f"{prefix}{name}.").items()}
    plain = value if isinstance(value, int | float | str | bool) else str(value)
    return {prefix.removesuffix("."): plain}
