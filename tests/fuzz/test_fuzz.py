"""A few inputs of each target, and the fuzzer itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from nst_lightning.errors import InputError
from tests.fuzz import worker
from tests.fuzz.__main__ import fuzz, replay, watch
from tests.fuzz.mutations import mutate_tree, repair_png
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.worker import COUNT_NAME, CURRENT_NAME, Campaign, find_defect, mutate, store_finding
from tests.helpers import ignore_lightning_warnings

# Changed files of each target, and the least number of its seeds that are read.
INPUTS = {
    "image": (60, 60),
    "mask": (20, 20),
    "flo": (60, 3),
    "safetensors": (20, 2),
    "checkpoint": (4, 2),
    "configuration": (8, 10),
    "control": (40, 1),
}


def accepts(target: Target, content: bytes) -> bool:
    """Whether a target reads a file."""
    try:
        target.read(content)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.usefixtures("empty_folder")
@ignore_lightning_warnings
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_target_reads_its_seeds_and_refuses_changed_ones(name: str) -> None:
    target, (count, accepted) = TARGETS[name], INPUTS[name]
    target.prepare()
    seeds = target.seeds()
    assert sum(accepts(target, content) for content in seeds) >= accepted
    changed = set()
    for number in range(count):
        random = Random(number)
        content = mutate(target, random, random.choice(seeds))
        assert find_defect(target, content) is None, (number, content)
        changed.add(content)
    assert len(changed) > 0.9 * count


def make_target(read: Callable[[bytes], object]) -> Target:
    return Target(lambda: [b"valid"], lambda random, content: content + random.randbytes(1), read)


def fail(content: bytes) -> None:
    raise KeyError(content)


def refuse(content: bytes) -> None:
    raise InputError("Expected another file.")


def hang(content: bytes) -> None:
    while True:
        pass


def test_defects_are_all_but_results_and_input_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_SECONDS", 0.1)
    assert find_defect(make_target(len), b"") is None
    assert find_defect(make_target(refuse), b"") is None
    assert isinstance(find_defect(make_target(fail), b""), KeyError)
    assert isinstance(find_defect(make_target(hang), b""), worker.TooSlowError)


def test_campaign_stores_one_input_of_each_place(tmp_path: Path) -> None:
    campaign = Campaign(make_target(fail), tmp_path)
    for content in (b"first", b"second", b"third"):
        campaign.give(content)
    (finding,) = tmp_path.glob("finding-*.txt")
    assert finding.with_suffix("").read_bytes() == b"first"
    assert "KeyError: b'first'" in finding.read_text()
    assert (tmp_path / COUNT_NAME).read_text() == "3"
    assert (tmp_path / CURRENT_NAME).read_bytes() == b"third"
    # A process that is started again continues to count.
    assert Campaign(make_target(fail), tmp_path).count == 3


def test_process_that_crashes_or_hangs_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = tmp_path / CURRENT_NAME
    crashed = subprocess.Popen([sys.executable, "-c", "import os; os.abort()"])
    assert watch(crashed, current) == "the process ended with the status -6"
    monkeypatch.setattr("tests.fuzz.__main__.HANG_SECONDS", 0.5)
    current.write_bytes(b"slow")
    hanging = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    assert watch(hanging, current) == "no end after 0.5 seconds"
    assert hanging.poll() is not None
    path = store_finding(tmp_path, current.read_bytes(), "no end")
    assert path.read_bytes() == b"slow"


@pytest.mark.usefixtures("empty_folder")
def test_command_counts_inputs_and_replays_them(capsys: pytest.CaptureFixture[str]) -> None:
    folder, before = Path("flo").absolute(), Path.cwd()
    folder.mkdir()
    assert fuzz("flo", 3.0, 0, folder) > 3
    assert not list(folder.glob("finding-*"))
    try:
        assert replay("flo", folder / CURRENT_NAME) == 0
    finally:
        os.chdir(before)
    assert "as it should be" in capsys.readouterr().out


def test_tree_is_copied_and_changed() -> None:
    tree = {"a": [1, {"b": 2}], "c": None}
    changed = [mutate_tree(Random(number), tree) for number in range(50)]
    assert tree == {"a": [1, {"b": 2}], "c": None}
    assert sum(value != tree for value in changed) > 40
    assert len({repr(value) for value in changed}) > 30


def test_checksums_of_a_png_are_repaired() -> None:
    (png, *_) = (content for content in TARGETS["mask"].seeds() if content.startswith(b"\x89PNG"))
    damaged = bytearray(png)
    damaged[29:33] = bytes(4)
    assert repair_png(bytes(damaged)) == png
