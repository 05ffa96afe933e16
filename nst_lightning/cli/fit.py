"""The `fit` command."""

import sys

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nst_lightning.cli.lightning_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.system.console import quiet_lightning


def main(args: list[str]) -> int:
    """Runs `fit` and returns the exit status: 0, or 130 after Ctrl-C.

    Args:
        args: what stands on the command line after `fit`.
    """
    try:
        with quiet_lightning():
            cli = TransferCLI(["fit", *args])
    except MisconfigurationException as error:
        raise InputError(str(error)) from error
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise InputError(
            "Expected the picture to fit into memory, but it does not: lower data.plan.size, use shallower layers, "
            "--model.backbone.checkpointing true, or an optimizer with less memory (L-BFGS with a smaller "
            "history_size, or Adam)."
        ) from error
    if cli.interrupted:
        print("Stopped before the end: the same command with --ckpt_path last goes on.", file=sys.stderr)
        return 130
    film = cli.datamodule.film
    if film is not None and film.problem is not None:
        raise InputError(
            f"Expected a complete film, but {cli.datamodule.content_file} is incomplete: {film.problem}. "
            "The frames before that are painted."
        )
    return 0
