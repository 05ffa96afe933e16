"""Files with settings: changes of a run in progress, and configurations."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any


from nst_lightning.errors import InputError
from nst_lightning.training.steering import CONTROL_NAME, read_live, read_steering, take_control, write_control
from tests.fuzz.mutations import mutate_bytes, mutate_tree

CHANGES: list[Any] = [
    {"stop": True},
    {"more_steps": 5},
    {"weights": {"style": 2.0, "content": 0}},
    {"strength": 0.5, "style_weights": [1, 2.5]},
    {"stop": False, "more_steps": 3, "weights": {"smooth": 1e-3}, "strength": 1, "style_weights": [1]},
]
TERMS = ("content", "style", "smooth")


def make_controls() -> list[bytes]:
    """Returns changes as ``control.json`` and ``steering.yaml`` hold them."""
    lists = [[{"step": number} | change for number, change in enumerate(CHANGES)]]
    return [json.dumps(change).encode() for change in (*CHANGES, *lists)]


def mutate_json(random: Random, content: bytes) -> bytes:
    """Changes a value, or the text."""
    if random.random() < 0.3:
        return mutate_bytes(random, content)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return mutate_bytes(random, content)
    return json.dumps(mutate_tree(random, tree)).encode()


def read_control_file(content: bytes) -> None:
    """Reads changes as a run in progress does, as `fit --replay` does, and as the `steer` command does."""
    folder = Path("run")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / CONTROL_NAME).write_bytes(content)
    problem = None
    try:
        change = take_control(folder)
        assert change is not None
        assert not list(folder.iterdir()), "the change stays"
        change.describe()
        write_control(folder, change)
        assert take_control(folder) == change or not change
        change.check(TERMS, 2)
    except InputError as error:
        problem = error
    for name in ("live.json", "steering.yaml"):
        (folder / name).write_bytes(content)
    read_live(folder)
    for entry in read_steering(folder / "steering.yaml"):
        entry.change.check(TERMS, 2)
    if problem is not None:
        raise problem
