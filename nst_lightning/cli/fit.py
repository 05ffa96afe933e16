"""The `fit` command."""

import gc
import sys

from lightning.fabric.utilities.exceptions import MisconfigurationException

from nst_lightning.cli.device_processes import LOST_CONNECTION, explain_end, read_memory_choice, run_processes
from nst_lightning.cli.run import Run
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.system.interrupts import INTERRUPTED_STATUS
from nst_lightning.system.threads import restore_threads
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.private_api import is_connection_lost, is_out_of_memory


def main(args: list[str]) -> int:
    """Runs `fit` and returns the exit status: 0, or 130 after Ctrl-C and SIGTERM.

    Args:
        args: the arguments after `fit`.
    """
    try:
        with quiet_lightning(), restore_threads():
            run = TransferCLI(args).build()
            if run.needs_processes:
                return _fit_on_devices(args, run)
            run.fit()
    except MisconfigurationException as error:
        raise InputError(str(error)) from error
    except RuntimeError as error:
        if is_connection_lost(error):
            return _report_lost_connection()
        if not is_out_of_memory(error):
            raise
        raise InputError(
            "Expected the picture to fit into memory, but it does not: lower data.plan.size, use shallower layers, "
            "--model.backbone.checkpointing true, or an optimizer with less memory (L-BFGS with a smaller "
            "history_size or history_dtype bfloat16, or Adam)."
        ) from error
    if run.interrupted:
        print("Stopped before the end: the same command with --ckpt_path last resumes it.", file=sys.stderr)
        return INTERRUPTED_STATUS
    # A damaged file is reported at the end, so that the frames before the damage are not lost.
    film = run.data.film
    if film is not None and film.problem is not None:
        raise InputError(
            f"Expected a complete film, but {run.data.content_file} is incomplete: {film.problem}. "
            "The frames before that are painted."
        )
    return 0


def _fit_on_devices(args: list[str], run: Run) -> int:
    """Runs `fit` in a process for each device, with the threads and the use of memory that were chosen here."""
    run.print_messages()
    options = ["--threads", str(run.config.threads)]
    count, nodes, choice = run.trainer.num_devices, run.trainer.num_nodes, run.memory
    # The processes have their own.
    del run
    gc.collect()
    return run_processes([*args, *options], count, nodes, choice)


def _report_lost_connection() -> int:
    # The process that started this one reports which one has ended.
    if read_memory_choice() is None:
        raise InputError(explain_end("another one has ended"))
    return LOST_CONNECTION
