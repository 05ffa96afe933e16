"""The `samples` command."""

import sys
from pathlib import Path

from jsonargparse import SUPPRESS, ArgumentError, ArgumentParser

from nst_lightning.samples.gallery import CLIPS, SAMPLES, write_sample


def main(args: list[str] | None = None) -> int:
    """Writes the samples and prints the path of each.

    Args:
        args: the command line after `samples`. Default: `sys.argv`.

    Returns:
        The exit status: 0, or 2 if the arguments cannot be used.
    """
    parser = ArgumentParser(
        prog="python -m nst_lightning samples",
        description="Writes the sample pictures as PNG and the sample clip as MP4.",
        exit_on_error=False,
    )
    parser.add_argument("--output", type=str, required=True, help="folder to write to")
    parser.add_argument("--render", type=bool, default=False, help=SUPPRESS)
    try:
        options = parser.parse_args(args)
        if options.render:
            print("notice: --render no longer has an effect and ends with the next version.", file=sys.stderr)
        directory = Path(options.output)
        directory.mkdir(parents=True, exist_ok=True)
        for name in SAMPLES + CLIPS:
            print(write_sample(name, directory), flush=True)
    except (ArgumentError, OSError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0
