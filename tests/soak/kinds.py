"""The kinds of runs of the soak test: their commands, and their results."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from nst_lightning.images.io import read_image, write_image
from nst_lightning.samples.drawing.clip import Clip
from nst_lightning.samples.drawing.clip_file import write_clip
from tests.helpers import smooth_image, write_pair

SMALL = [
    "--data.style=style.png",
    "--data.plan.size=48",
    "--data.plan.ladder=none",
    "--data.plan.first_steps=null",
    "--model.backbone=tests.helpers.TinyBackbone",
    "--model.losses.content.layers=[conv_2]",
    "--model.losses.style.layers=[conv_1,conv_3]",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--checkpoints.every_n_steps=10",
    "--threads=1",
]
PICTURE = ["fit", "--config=transfer", "--data.content=content.png", *SMALL]
FILM = ["fit", "--config=video", "--data.content=clip.mp4", *SMALL, "--data.plan.steps=30"]
FILM += ["--data.plan.following_steps=20", "--model.losses.disocclusion.layers=[conv_1,conv_3]"]
# A network that can be evaluated in tiles, and so be shared among processes.
TILED = [*PICTURE, "--data.plan.size=96", "--data.plan.tile=64"]
TILED += ["--model.backbone=SlimVGG19", "--checkpoints.every_n_steps=5"]
# Optimizers with a history amplify the rounding errors of a sum over processes.
ADAM = ["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=0.02"]
CHANGES = [
    {"step": 25, "weights": {"style": 300.0}},
    {"step": 60, "strength": 0.7},
    {"step": 90, "more_steps": 20},
]


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        command: arguments of the command that starts it.
        resume: arguments that are added when it resumes.
        folder: where its files are.
        results: patterns of the files whose content is compared.
    """

    command: list[str]
    resume: list[str]
    folder: str
    results: tuple[str, ...]


LAST = ["--ckpt_path=last"]
STILL = ("stylized.png", "checkpoints/last.ckpt")
KINDS = {
    "fit": Kind([*PICTURE, "--data.plan.steps=120"], LAST, "logs/transfer", STILL),
    "film": Kind(FILM, LAST, "logs/video", ("frames/*.png", "film.mp4", "checkpoints/last.ckpt")),
    "study": Kind(["study", "--config=study.yaml", "--output=out", "--jobs=1"], [], "out", ("runs/*/stylized.png",)),
    "steered": Kind(
        [*PICTURE, "--data.plan.steps=120", "--replay=changes.yaml"], LAST, "logs/transfer", (*STILL, "steering.yaml")
    ),
    "tiled": Kind([*TILED, "--data.plan.steps=20"], LAST, "logs/transfer", STILL),
    "devices": Kind([*TILED, *ADAM, "--data.plan.steps=20", "--trainer.devices=2"], LAST, "logs/transfer", STILL),
}


def write_inputs() -> None:
    """Writes the input files of all kinds into the current folder."""
    write_pair(Path())
    write_clip(Path("clip.mp4"), Clip(frames=4, width=48, height=40))
    Path("changes.yaml").write_text(yaml.safe_dump(CHANGES))
    write_image("style.png", smooth_image(30, 36, seed=2))
    model = {
        "backbone": {"class_path": "tests.helpers.TinyBackbone"},
        "losses": {
            "content": {"class_path": "ContentLoss", "init_args": {"layers": ["conv_2"]}},
            "style": {"class_path": "GramLoss", "init_args": {"layers": ["conv_1", "conv_3"], "weight": 1000.0}},
        },
        "optimizer": {"class_path": "CompactLBFGS"},
    }
    data = {"content": "content.png", "style": "style.png", "plan": {"size": 48, "steps": 50}}
    recipe = {"model": model, "data": data, "trainer": {"precision": "32-true"}, "threads": 1}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe | {"checkpoints": {"every_n_steps": 10}}))
    section = {"title": "A", "config": "recipe.yaml", "axes": {"model.losses.style.weight": [10, 100, 1000]}}
    Path("study.yaml").write_text(yaml.safe_dump({"title": "S", "sections": [section]}))


def read_results(folder: Path, kind: Kind) -> dict[str, str]:
    """Returns a digest of the content of each result by its path in the folder of the run.

    Pictures are compared as pixels and checkpoints as images and steps: their files contain times.

    Args:
        folder: folder with the result files.
        kind: the kind of run.
    """
    paths = sorted(path for pattern in kind.results for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): _digest(path) for path in paths}


def _digest(path: Path) -> str:
    readers: dict[str, Callable[[], bytes]] = {
        ".png": lambda: read_image(path).image.numpy().tobytes(),
        ".ckpt": lambda: _read_image_of_checkpoint(path),
    }
    return hashlib.sha256(readers.get(path.suffix, path.read_bytes)()).hexdigest()


def _read_image_of_checkpoint(path: Path) -> bytes:
    checkpoint = torch.load(path, weights_only=True)
    image: bytes = checkpoint["state_dict"]["image"].numpy().tobytes()
    return image + str(checkpoint["global_step"]).encode()
