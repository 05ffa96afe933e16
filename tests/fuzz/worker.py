"""The process that gives mutated files to a reader; ``tests.fuzz`` starts it again when it crashes."""

import hashlib
import importlib.util
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING

from nst_lightning.errors import InputError

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

# Limits of one input: seconds of the processor, and bytes of memory.
MAX_SECONDS = 10.0
MAX_BYTES = 2 * 1024**3

# Seconds of the clock after which a process hangs that reads one input; other programs may keep it waiting.
HANG_SECONDS = 120

# Largest file in bytes.
MAX_LENGTH = 2**20

# Files in the folder of a campaign: the input that is being read, and how many have been read.
CURRENT_NAME = "current"
COUNT_NAME = "count"


class TooSlowError(BaseException):
    """An input takes too long. No Exception, which a reader may catch."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise TooSlowError(f"no end after {MAX_SECONDS:g} seconds")


@contextmanager
def _limit_seconds() -> Iterator[None]:
    previous = signal.signal(signal.SIGPROF, _interrupt)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def limit_memory() -> None:
    """Limits the memory of this process to what it has now and :data:`MAX_BYTES`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_BYTES, resource.RLIM_INFINITY))


def find_defect(target: "Target", content: bytes) -> BaseException | None:
    """Gives an input to a reader in the current folder.

    Args:
        target: the reader.
        content: the input.

    Returns:
        None if it is read or refused by an InputError; the defect otherwise.
    """
    try:
        with _limit_seconds(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(content)
    except InputError:
        # The command line makes one short line of its message.
        return None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return error
    return None


def store_finding(folder: Path, content: bytes, error: BaseException | str) -> Path:
    """Stores an input and its traceback, one of each place in the code.

    Args:
        folder: where to write.
        content: the input.
        error: the defect, or what happened to the process.
    """
    frames = [] if isinstance(error, str) else traceback.extract_tb(error.__traceback__)
    own = [f"{Path(frame.filename).name}:{frame.name}" for frame in frames]
    key = error if isinstance(error, str) else f"{type(error).__name__} {' '.join(own[-3:])}"
    path = folder / f"finding-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not path.exists():
        path.write_bytes(content)
        text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        path.with_suffix(".txt").write_text(f"{key}\n{text}")
    return path


class Campaign:
    """Gives inputs to a reader, and stores what it finds.

    Args:
        target: the reader.
        folder: of the campaign, with what was found.
    """

    def __init__(self, target: "Target", folder: Path) -> None:
        self.target = target
        self.folder = folder
        self.parent = os.getppid()
        self.current = folder / CURRENT_NAME
        self.counter = folder / COUNT_NAME
        self.count = int(self.counter.read_text()) if self.counter.exists() else 0

    def give(self, content: bytes) -> None:
        """Gives an input to the reader."""
        if os.getppid() != self.parent:
            os._exit(1)
        # The parent reads both files if this process dies.
        self.current.write_bytes(content)
        self.count += 1
        self.counter.write_text(str(self.count))
        error = find_defect(self.target, content)
        if error is not None:
            store_finding(self.folder, content, error)


def mutate(target: "Target", random: Random, content: bytes) -> bytes:
    """Changes an input at one to four places."""
    for _ in range(random.choice((1, 1, 2, 4))):
        content = target.mutate(random, content)
    return content[:MAX_LENGTH]


def run_unguided(campaign: Campaign, seconds: float, seed: int) -> None:
    """Mutates valid files at random."""
    random, seeds, end = Random(seed), campaign.target.seeds(), time.monotonic() + seconds
    for content in seeds:
        campaign.give(content)
    while time.monotonic() < end:
        campaign.give(mutate(campaign.target, random, random.choice(seeds)))


def run_guided(campaign: Campaign, seconds: float, seed: int) -> None:
    """Mutates valid files and those results that reach new lines of code; ends the process."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    corpus = campaign.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for content in campaign.target.seeds():
        (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)

    def change(content: bytes, max_length: int, number: int) -> bytes:
        random = Random(number)
        mutated = mutate(campaign.target, random, content) if random.random() < 0.7 else content
        if mutated == content:
            mutated = atheris.Mutate(content, max_length)
        return bytes(mutated[:max_length])

    options = [f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", f"-max_len={MAX_LENGTH}", "-len_control=0"]
    # The limits are those of this file; libFuzzer would end the process.
    options += [
        "-rss_limit_mb=0",
        f"-timeout={10 * HANG_SECONDS}",
        "-verbosity=0",
        f"-artifact_prefix={campaign.folder}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], campaign.give, custom_mutator=change)
    atheris.Fuzz()


def import_targets(is_guided: bool) -> "dict[str, Target]":
    """Imports the readers.

    Args:
        is_guided: whether to measure which lines of the readers an input reaches.
    """
    if is_guided:
        import atheris

        with atheris.instrument_imports(include=["nst_lightning", "PIL", "safetensors"]):
            from tests.fuzz.targets import TARGETS
    else:
        from tests.fuzz.targets import TARGETS
    return TARGETS


def main() -> None:
    """Runs a campaign: ``python -m tests.fuzz.worker TARGET FOLDER SECONDS SEED``."""
    name, folder, seconds, seed = sys.argv[1], Path(sys.argv[2]).resolve(), float(sys.argv[3]), int(sys.argv[4])
    is_guided = importlib.util.find_spec("atheris") is not None
    target = import_targets(is_guided)[name]
    campaign = Campaign(target, folder)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    os.chdir(work)
    target.prepare()
    limit_memory()
    (run_guided if is_guided else run_unguided)(campaign, seconds, seed)


if __name__ == "__main__":
    main()
