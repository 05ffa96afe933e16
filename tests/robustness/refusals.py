"""Checks that a command refuses an input: one line, status 1 or 2, nothing written, in little time and memory."""

import resource
import signal
import time
from pathlib import Path
from types import FrameType

import pytest

from nst_lightning.__main__ import main

# Options of a run that would begin: pictures of `write_pair` and a small backbone, which is built quickly.
FIT = [
    "fit",
    "--config=transfer",
    "--data.content=content.png",
    "--data.style=style.png",
    "--data.plan.size=32",
    "--data.plan.steps=1",
    "--data.plan.ladder=none",
    "--model.backbone=tests.helpers.TinyBackbone",
    "--model.losses.style.layers=[conv_1]",
    "--trainer.enable_progress_bar=false",
]

# Limits of one refusal: seconds of the processor, memory, and seconds of the clock while other tests run too.
MAX_SECONDS = 10.0
MAX_KIB = 2 * 1024**2
CLOCK_SECONDS = 30


def _fail(number: int, frame: FrameType | None) -> None:
    # Not an OSError, which the command would report as an error of the user.
    raise AssertionError(f"no end after {CLOCK_SECONDS} seconds")


def list_files(folder: Path) -> list[Path]:
    """Lists all files and folders below a folder."""
    return sorted(folder.rglob("*"))


def assert_refused(capsys: pytest.CaptureFixture[str], args: list[str], *texts: str) -> str:
    """Runs a command in the current folder, checks that it refuses its input, and returns the line that it prints.

    Args:
        capsys: of the test.
        args: command line.
        texts: parts that the line contains.
    """
    before, peak, start = list_files(Path()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    capsys.readouterr()
    previous = signal.signal(signal.SIGALRM, _fail)
    signal.alarm(CLOCK_SECONDS)
    try:
        status = main(args)
    except SystemExit as error:
        raise AssertionError(f"the command exits by itself with {error.code}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert status in (1, 2), (status, errors)
    assert len(errors) == 1, errors
    (line,) = errors
    assert line.startswith("error: ")
    for text in texts:
        assert text in line
    assert list_files(Path()) == before, "something is written"
    assert time.process_time() - start < MAX_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MAX_KIB
    return line
