"""The `fit` command."""

import sys

from lightning.fabric.utilities.exceptions import MisconfigurationException

from nst_lightning.cli.lightning_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.private_api import is_out_of_memory


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
        if not is_out_of_memory(error):
            raise
        raise InputError(
            "Expected the picture to fit into memory, but it does not: lower data.plan.size, use shallower layers, "
            "--model.backbone.checkpointing true, or an optimizer with less memory (L-BFGS with a smaller "
            "history_size, or Adam)."
        ) from error
    if cli.interrupted:
        print("Stopped before the end: the same command with --ckpt_path last goes on.", file=sys.stderr)
        return 130
    if cli.datamodule.problem is not None:
        raise InputError(
            f"Expected a whole film, but of {cli.datamodule.content_file} {cli.datamodule.problem}. "
            "What there is of it is painted."
        )
    return 0
