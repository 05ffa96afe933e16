"""The command that writes the samples to a folder."""

import sys
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from nst_lightning.samples.gallery import CLIPS, SAMPLES, write_clip, write_sample


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="nst_lightning samples",
        description="Write sample contents and styles as PNG, and a clip as MP4.",
        exit_on_error=False,
    )
    parser.add_argument("--output", type=str, required=True, help="the folder to write to")
    parser.add_argument("--render", type=bool, default=False, help="whether to draw the pictures anew")
    return parser


def _write(directory: Path, anew: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        print(write_sample(name, directory, anew), flush=True)
    for name in CLIPS:
        print(write_clip(name, directory), flush=True)


def main(args: list[str] | None = None) -> int:
    """Write the samples, printing the path of each.

    Args:
        args: The arguments; those of the process when None.

    Returns:
        The exit status: 0, or 2 after a mistake of the user.
    """
    try:
        options = _parser().parse_args(args)
        _write(Path(options.output), options.render)
    except (ArgumentError, OSError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
