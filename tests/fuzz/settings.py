"""Files with settings: changes of a run in progress, and configurations."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.images.io import write_image
from nst_lightning.system.threads import restore_threads
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.private_api import is_out_of_memory
from nst_lightning.training.steering import CONTROL_NAME, read_live, read_steering, take_control, write_control
from tests.fuzz.mutations import mutate_bytes, mutate_tree
from tests.helpers import CONFIGS, smooth_image, write_pair
from tests.robustness.refusals import FIT

CHANGES: list[Any] = [
    {"stop": True},
    {"more_steps": 5},
    {"weights": {"style": 2.0, "content": 0}},
    {"strength": 0.5, "style_weights": [1, 2.5]},
    {"stop": False, "more_steps": 3, "weights": {"smooth": 1e-3}, "strength": 1, "style_weights": [1]},
]
TERMS = ("content", "style", "smooth")


# Options that lead to other files, to threads and to devices.
EXAMPLES: list[dict[str, Any]] = [
    {"data": {"style": [{"file": "style.png", "weight": 0.5, "scale": 2, "rotation": 90}, "content.png"]}},
    {"data": {"hold": "style.png#3", "content_map": "style.png", "palette": "style.png"}},
    {"data": {"content": "sample:clip", "first": 1, "last": 3, "stride": 2, "flow": "dis"}},
    {"data": {"plan": {"size": 32, "steps": 3, "ladder": "sqrt2", "smallest": 16, "tolerance": 0.1}}},
    {"data": {"style": {"file": "style.png", "map": "style.png", "colors": "content"}, "content_map": "style.png"}},
    {"model": {"initialization": "painted.png"}, "data": {"content": "stored", "style": "stored"}},
    {"model": {"initialization": "painted.png"}, "data": {"content": "start"}},
    {"model": {"optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}, "strength": 0.5}},
    {"trainer": {"callbacks": [{"class_path": "ImageAveraging", "init_args": {"decay": 0.9}}]}},
    {"trainer": {"devices": 2, "accelerator": "cpu", "precision": "32-true"}, "threads": 1, "max_pixels": 1e5},
    {"trainer": {"logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "logs", "name": "a"}}}},
    {"previews": {"every_n_steps": 2}, "checkpoints": {"every_n_steps": 2}, "snapshots": {"at_steps": [1, 2]}},
    {"output": "result.png", "depth": 16, "seed_everything": 3, "ckpt_path": "last", "replay": "steering.yaml"},
]


def prepare_settings() -> None:
    """Writes the files that configurations name."""
    write_pair(Path())
    stored = yaml.safe_dump({"data": {"content": "content.png", "style": "style.png"}})
    write_image("painted.png", smooth_image(30, 40), config=stored)
    Path("steering.yaml").write_text("- {step: 1, strength: 0.5}")


def make_configurations() -> list[bytes]:
    """Returns the packaged recipes, and examples of further options."""
    recipes = [
        content for path in sorted(CONFIGS.glob("*.yaml")) if b"\nsections:" not in (content := path.read_bytes())
    ]
    return [*recipes, *(yaml.safe_dump(example).encode() for example in EXAMPLES)]


def mutate_yaml(random: Random, content: bytes) -> bytes:
    """Changes a value, or the text."""
    if random.random() < 0.15:
        return mutate_bytes(random, content)
    try:
        return yaml.safe_dump(mutate_tree(random, yaml.safe_load(content))).encode()
    except (yaml.YAMLError, ValueError, RecursionError):
        return mutate_bytes(random, content)


def read_configuration(content: bytes) -> None:
    """Builds a run from a configuration that comes after a complete one."""
    path = Path("config.yaml")
    path.write_bytes(content)
    try:
        with quiet_lightning(), restore_threads():
            TransferCLI([*FIT[1:], f"--config={path}"]).build()
    except (OSError, MisconfigurationException) as error:  # which the command prints in one line as well
        raise InputError(str(error)) from error
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise


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
    try:
        for entry in read_steering(folder / "steering.yaml"):
            entry.change.check(TERMS, 2)
    except InputError as error:
        # A list is no change, and a change no list.
        if problem is not None:
            raise error from problem
