"""The command line: `python -m nst_lightning COMMAND ...`."""

import os
import sys
from collections.abc import Callable

from nst_lightning.errors import InputError, UsageError
from nst_lightning.system.huge_pages import request_huge_pages
from nst_lightning.version import __version__

COMMANDS = {
    "fit": "paint a picture as a configuration says",
    "study": "paint many pictures and make a page of them: sweeps, folders, a report",
    "benchmark": "measure speed, memory and time to quality on this machine, beside a plain loop",
    "distill": "make the weights of SlimVGG19 anew, or measure a file of them (distill measure)",
    "flicker": "measure how much a film flickers that was painted from another one",
    "samples": "write the pictures that come with the package to a folder",
}


def main(args: list[str] | None = None) -> int:
    """Runs a command and returns its exit status.

    Mistakes of the person who typed it become one line on stderr and status 1, or 2 where the line cannot be parsed.
    Where nobody reads the output any more, as with `| head`, it ends without a word and with status 141, as others do.

    Args:
        args: what stands on the command line after the program's name; `sys.argv` unless given.
    """
    try:
        try:
            return _main(args)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left of the output would be tried once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _main(args: list[str] | None) -> int:
    args = sys.argv[1:] if args is None else args
    if args and args[0] in COMMANDS:
        return _run(args)
    if args in (["-h"], ["--help"], []):
        print(_help())
        return 0 if args else 2
    if args == ["--version"]:
        print(f"nst_lightning {__version__}")
        return 0
    print(f"error: Expected a command among {', '.join(COMMANDS)}, but got {args[0]!r}.", file=sys.stderr)
    return 2


def _run(args: list[str]) -> int:
    try:
        return _command(args[0])(args[1:])
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _command(name: str) -> Callable[[list[str]], int]:
    """The function of a command; its room is imported only now, so that the help is quick."""
    if name in {"fit", "study"}:
        request_huge_pages()
    if name == "fit":
        from nst_lightning.cli.fit import main as fit

        return fit
    if name == "study":
        from nst_lightning.study.command import main as study

        return study
    if name == "benchmark":
        from nst_lightning.benchmark.command import main as benchmark

        return benchmark
    if name == "distill":
        from nst_lightning.distill.command import main as distill

        return distill
    if name == "flicker":
        from nst_lightning.cli.flicker import main as flicker

        return flicker
    from nst_lightning.samples.command import main as samples

    return samples


def _help() -> str:
    commands = "\n".join(f"  {name:10} {what}" for name, what in COMMANDS.items())
    return (
        "usage: python -m nst_lightning COMMAND ...\n\n"
        "Neural style transfer by optimization, as a PyTorch Lightning training run.\n\n"
        f"commands:\n{commands}\n\n"
        "python -m nst_lightning COMMAND --help tells the options of a command."
    )


if __name__ == "__main__":
    sys.exit(main())
