"""The `fit` command."""

import sys

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.data.film import FilmData
from nst_lightning.errors import InputError
from nst_lightning.system.console import quiet_lightning


def main(args: list[str]) -> int:
    """Runs `fit` and returns the exit status: 0, or 130 after Ctrl-C.

    Args:
        args: the arguments after `fit`.
    """
    try:
        with quiet_lightning():
            run = TransferCLI(args).build()
            run.fit()
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
    if run.interrupted:
        print("Stopped before the end: the same command with --ckpt_path last resumes it.", file=sys.stderr)
        return 130
    if isinstance(run.data, FilmData) and run.data.problem is not None:
        raise InputError(
            f"Expected a whole film, but {run.data.content_file} has a problem: {run.data.problem}. "
            "The frames that exist are painted."
        )
    return 0
