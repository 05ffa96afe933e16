"""Runs of all recipes and backbones."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image, write_image
from tests.cli.transfer_run import run_folder
from tests.helpers import CONFIGS, QUICK, QUICK_FILM, TRANSFER, TRANSFER_TERMS, smooth_image

RECIPE_FILES = {path.relative_to(CONFIGS): yaml.safe_load(path.read_text()) for path in CONFIGS.glob("**/*.yaml")}
RECIPES = [path for path, config in RECIPE_FILES.items() if "losses" in config.get("model", {})]
BACKBONES = [path for path in RECIPE_FILES if path.parent.name == "backbones"]


def test_configurations_are_all_run_by_a_test() -> None:
    # The tests of `distill` and `study` run their configurations.
    assert {*RECIPES, *BACKBONES, Path("distill.yaml"), Path("assignment.yaml")} == set(RECIPE_FILES)


@pytest.mark.parametrize("config", RECIPES, ids=str)
def test_recipe_runs(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film = config.name == "video.yaml"
    options = [*QUICK, *(QUICK_FILM if film else [])]
    if config.name == "enlarge.yaml":
        write_image("small.png", smooth_image(12, 16), config="data: {style: sample:swirl}")
        options.append("--model.initialization=small.png")
    assert main(["fit", f"--config={CONFIGS / config}", *options]) == 0
    (result,) = Path("logs").rglob("frames/00002.png" if film else "stylized.png")
    with Image.open(result) as picture:
        assert max(picture.size) == 32


@pytest.mark.parametrize("backbone", BACKBONES, ids=str)
def test_backbone_configuration_overrides_a_recipe(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = [f"--config={CONFIGS / name}" for name in ("transfer.yaml", backbone)]
    assert main(["fit", *configs, *QUICK, "--model.backbone.weights=random"]) == 0
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())["model"]
    assert saved["backbone"]["class_path"].endswith(RECIPE_FILES[backbone]["model"]["backbone"]["class_path"])
    assert set(saved["losses"]) == set(TRANSFER_TERMS)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (47, 33)])
def test_run_paints_small_and_odd_sizes(
    height: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("odd.png", smooth_image(height, width))
    write_image("style.png", smooth_image(21, 19, seed=1))
    args = ["--data.content=odd.png", "--data.style=style.png", f"--data.plan.size={max(height, width)}"]
    assert main(["fit", f"--config={TRANSFER}", "--data.plan.steps=2", *args]) == 0
    assert read_image(run_folder() / "stylized.png").image.shape == (1, 3, height, width)
