"""A loss, a network and a callback of another package: those of the README, with checkpoints, tiles and masks."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonschema import Draft202012Validator
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.suggestions.fit_schema import describe_fit
from nst_lightning.training.resume import read_checkpoint, read_tile
from tests.cli.transfer_run import run_folder
from tests.helpers import PACKAGE, TRANSFER, find_blocks, write_pair

TEXT = (PACKAGE / "README.md").read_text()
CODE = "\n".join(find_blocks(TEXT, "python"))
(RECIPE,) = find_blocks(TEXT, "yml")
SIZE = ["--data.plan.size=96", "--data.plan.ladder=none", "--data.plan.first_steps=null", "--data.plan.steps=4"]
OPTIONS = ["fit", f"--config={TRANSFER}", "--config=recipe.yaml", "--data.content=content.png", *SIZE]
PLAIN_STEPS = ["--model.optimizer=SGD", "--model.optimizer.lr=200", "--trainer.precision=32-true"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two pictures, a mask of the left half and the recipe; the package is in another one."""
    folder, packages = tmp_path / "work", tmp_path / "packages"
    folder.mkdir()
    packages.mkdir()
    (packages / "studio.py").write_text(CODE)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(packages)
    write_pair(folder)
    mask = Image.new("L", (40, 30))
    mask.paste(255, (0, 0, 20, 30))
    mask.save("left.png")
    Path("recipe.yaml").write_text(RECIPE)


def paint(*options: str, style: str = "style.png") -> None:
    assert main([*OPTIONS, f"--data.style={style}", *options]) == 0


def read_result(number: int) -> torch.Tensor:
    return read_image(run_folder(number) / "stylized.png").image


def read_content() -> torch.Tensor:
    return resize(read_image("content.png").image, *read_result(0).shape[-2:])


def assert_resumes(*options: str, style: str = "style.png") -> None:
    """Paints a picture at once, and with an interruption after two steps, and compares the bits."""
    paint(*options, style=style)
    paint(*options, "--trainer.max_steps=2", style=style)
    assert (run_folder(1) / "steps.txt").read_text() == "2"
    paint(*options, "--ckpt_path=last", style=style)
    assert [(run_folder(number) / "steps.txt").read_text() for number in (0, 1)] == ["4", "4"]
    assert torch.equal(read_result(0), read_result(1))


def test_classes_have_at_most_15_lines() -> None:
    classes = [node for node in ast.parse(CODE).body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes] == ["ChannelMeanLoss", "EdgeNetwork", "StepCounter"]
    for node in classes:
        lines = ast.get_source_segment(CODE, node)
        assert lines is not None
        assert len([line for line in lines.splitlines() if line.strip()]) <= 15


def test_picture_is_painted_and_resumed() -> None:
    assert_resumes()
    saved: dict[str, Any] = yaml.safe_load((run_folder() / "config.yaml").read_text())
    assert saved["model"]["backbone"]["class_path"] == "studio.EdgeNetwork"
    assert saved["model"]["losses"]["style"]["class_path"] == "studio.ChannelMeanLoss"


def test_tiles_are_resumed() -> None:
    assert_resumes("--data.plan.tile=64")
    assert read_tile(read_checkpoint(run_folder() / "checkpoints" / "last.ckpt")) == 64


def test_tiles_have_the_result_of_the_whole_picture() -> None:
    paint(*PLAIN_STEPS)
    paint(*PLAIN_STEPS, "--data.plan.tile=64")
    assert (read_result(0) - read_content()).abs().max() > 0.02
    assert (read_result(0) - read_result(1)).abs().max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("tile", ["null", "64"])
def test_masks_apply_and_are_resumed(tile: str) -> None:
    options = ["--data.rest=content", f"--data.plan.tile={tile}"]
    assert_resumes(*options, style="[{file: style.png, mask: left.png}]")
    painted, untouched = (read_result(0) - read_content()).abs().amax(dim=(0, 1, 2)).chunk(2)
    assert painted.min() > 0.02
    # The filters read one pixel beyond the mask, which itself is resized.
    assert untouched[4:].max() <= 1 / 255 + 1e-6


def test_schema_accepts_the_recipe() -> None:
    assert list(Draft202012Validator(describe_fit()).iter_errors(yaml.safe_load(RECIPE))) == []
