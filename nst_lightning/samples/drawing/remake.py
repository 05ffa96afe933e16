"""Remake the files that come with the package: `python -m nst_lightning.samples.drawing.remake [NAME ...]`."""

import sys

from nst_lightning.samples.gallery import FILES, SAMPLES, render, sample_path, save_whole

# A quality below which the fine strokes of the styles begin to smear.
QUALITY = 86


def remake(name: str) -> int:
    """Draw a sample and replace its file.

    Args:
        name: One of `SAMPLES`.

    Returns:
        The size of the file, in bytes.

    Raises:
        InputError: There is no such sample.
    """
    path = sample_path(name)
    FILES.mkdir(exist_ok=True)
    save_whole(render(name), path, quality=QUALITY)
    return path.stat().st_size


def main(names: list[str]) -> int:
    """Remake the named samples, or all; return the exit status."""
    try:
        for name in names or SAMPLES:
            print(f"{name}: {remake(name)} bytes", flush=True)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
