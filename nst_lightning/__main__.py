"""The command line: `python -m nst_lightning COMMAND ...`."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nst_lightning.commands import COMMANDS, load_command
from nst_lightning.errors import InputError, UsageError
from nst_lightning.system.huge_pages import request_huge_pages
from nst_lightning.system.interrupts import INTERRUPTED_STATUS, TERMINATED_STATUS, InterruptHandler, forget_interrupt
from nst_lightning.system.processes import follow_parent
from nst_lightning.system.processor_load import LOAD_METER
from nst_lightning.version import __version__

# Most characters of an error or a warning.
MAX_MESSAGE = 1900


def main(args: list[str] | None = None) -> int:
    """Runs a command.

    Errors of the user and warnings are printed in one line each, without a traceback.

    Args:
        args: command line after the name of the program. Default: `sys.argv`.

    Returns:
        The exit status: 0; 1 for an input that cannot be used; 2 for a command line that cannot be parsed; 130 after
        Ctrl-C; 143 after SIGTERM; 141 (128 + SIGPIPE) if the output is a closed pipe, as with `| head`.
    """
    try:
        try:
            return _main(sys.argv[1:] if args is None else args)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes the output once more when it exits, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _main(args: list[str]) -> int:
    if args and args[0] in COMMANDS:
        return _run(args[0], args[1:])
    if args in (["-h"], ["--help"], []):
        print(_format_help())
        return 0 if args else 2
    if args == ["--version"]:
        print(f"nst_lightning {__version__}")
        return 0
    print(f"error: Expected a command among {', '.join(COMMANDS)}, but got {args[0]!r}.", file=sys.stderr)
    return 2


def _run(name: str, args: list[str]) -> int:
    interrupt = InterruptHandler(owns_process=True)
    status = _report_errors(name, args, interrupt)
    return TERMINATED_STATUS if status == INTERRUPTED_STATUS and interrupt.is_terminated else status


def _report_errors(name: str, args: list[str], interrupt: InterruptHandler) -> int:
    """Runs a command and returns its exit status; Ctrl-C and SIGTERM both give that of Ctrl-C."""
    try:
        with _one_line_warnings(), interrupt:
            return import_command(name)(args)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        # Libraries drop the exception of Ctrl-C while they are imported, and fail later.
        if not interrupt.has_raised:
            if not isinstance(error, InputError | OSError):
                raise
            print(f"error: {_join_lines(error)}", file=sys.stderr)
            return 2 if isinstance(error, UsageError) else 1
    print("Stopped.", file=sys.stderr)
    forget_interrupt()
    return INTERRUPTED_STATUS


def import_command(name: str) -> Callable[[list[str]], int]:
    """Imports the function of a command.

    Args:
        name: one of `COMMANDS`.
    """
    follow_parent()
    if name in {"fit", "study"}:
        # Before torch is imported: it reads a setting, and the measurement of the load ends when the run is built.
        request_huge_pages()
        LOAD_METER.start()
    return load_command(name)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Prints warnings without the source line that Python adds."""
    formatter = warnings.formatwarning
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"warning: {_join_lines(message)}\n"
    try:
        yield
    finally:
        warnings.formatwarning = formatter


def _join_lines(message: object) -> str:
    """Returns a message in one line of limited length, without characters that would change the terminal."""
    # Parts of it can come from a damaged or hostile file.
    text = str(message)
    shown = text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(shown.split()))


def _format_help() -> str:
    width = max(map(len, COMMANDS)) + 1
    commands = "\n".join(f"  {name:{width}} {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: python -m nst_lightning COMMAND ...\n\n"
        "Neural style transfer by optimization, as a PyTorch Lightning training run.\n\n"
        f"commands:\n{commands}\n\n"
        "python -m nst_lightning COMMAND --help shows the options of a command."
    )


if __name__ == "__main__":
    sys.exit(main())
