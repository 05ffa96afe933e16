"""What of Lightning's Trainer a run can be told, and what it is told unless a person says otherwise."""

from typing import Any

TRAINER_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "precision": None,
    "log_every_n_steps": 10,
    "logger": {
        "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
        "init_args": {"save_dir": "logs", "name": "stylized", "default_hp_metric": False},
    },
}

# Options of Lightning's Trainer that have no meaning where one image is trained and nothing is validated, or that the
# plan decides.
NOT_OURS = (
    "accumulate_grad_batches",
    "barebones",
    "check_val_every_n_epoch",
    "enable_autolog_hparams",
    "enable_checkpointing",
    "enable_model_summary",
    "fast_dev_run",
    "inference_mode",
    "limit_predict_batches",
    "limit_test_batches",
    "limit_train_batches",
    "limit_val_batches",
    "max_epochs",
    "min_epochs",
    "min_steps",
    "model_registry",
    "num_nodes",
    "num_sanity_val_steps",
    "overfit_batches",
    "reload_dataloaders_every_n_epochs",
    "strategy",
    "sync_batchnorm",
    "use_distributed_sampler",
    "val_check_interval",
)
