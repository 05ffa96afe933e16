"""Runs of `fit` and `study` whose result tiles."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image, write_image
from tests.cli.transfer_run import read_checkpoint, run_folder
from tests.helpers import CONFIGS, QUICK, smooth_image

TILE = ["fit", f"--config={CONFIGS / 'tile.yaml'}", "--trainer.precision=32-true"]
PLAN = ["--data.plan.size=64", "--data.plan.smallest=32", "--data.plan.first_steps=30", "--data.plan.steps=30"]


@pytest.fixture(autouse=True)
def _work_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def measure_seams(image: Tensor) -> list[float]:
    """Compares the difference across each seam with the 90 % quantile of the differences elsewhere; below 1 is good."""
    ratios = []
    for dim, other in ((2, 3), (3, 2)):
        differences = (image.roll(-1, dim) - image).abs().mean((0, 1, other))
        ratios.append(float(differences[-1] / differences[:-1].quantile(0.9)))
    return ratios


def paint_swirl(*args: str) -> Tensor:
    assert main([*TILE, *PLAN, "--seed_everything=2", "--data.style=sample:swirl", "--output=result.png", *args]) == 0
    return read_image("result.png").image


@pytest.mark.parametrize("options", [[], ["--model.backbone.checkpointing=true"], ["--trainer.precision=bf16-mixed"]])
def test_texture_has_no_seam(options: list[str]) -> None:
    assert max(measure_seams(paint_swirl(*options))) < 1


def test_texture_of_the_same_recipe_that_does_not_tile_has_seams() -> None:
    assert min(measure_seams(paint_swirl("--model.tileable=false"))) > 1.5


def test_transfer_that_tiles_heals_the_edges_of_the_content() -> None:
    # Opposite edges of the content are as different as can be.
    content = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    write_image("content.png", content)
    args = [f"--config={CONFIGS / 'transfer.yaml'}", "--data.content=content.png", "--data.style=sample:swirl", *PLAN]
    seams = []
    for number, tileable in enumerate(("false", "true")):
        assert main(["fit", *args, "--trainer.precision=32-true", f"--model.tileable={tileable}"]) == 0
        seams.append(measure_seams(read_image(run_folder(number) / "stylized.png").image))
    assert seams[0][1] > 2
    assert max(seams[1]) < 1.2


def test_tile_resumes_bitwise_also_between_sizes() -> None:
    plan = ["--data.plan.size=40", "--data.plan.smallest=20", "--data.plan.first_steps=3", "--data.plan.steps=3"]
    args = [*TILE, *plan, "--data.style=sample:swirl", "--model.optimizer=Adam", "--model.optimizer.lr=0.02"]
    assert main(args) == 0
    for steps in (2, 3, 4):
        assert main([*args, f"--trainer.max_steps={steps}"]) == 0
        assert main([*args, "--ckpt_path=last"]) == 0
    folders = [Path("logs/tile") / f"version_{number}" / "stylized.png" for number in range(4)]
    images = [read_image(folder).image for folder in folders]
    assert images[0].shape[-1] == 40
    assert all(torch.equal(images[0], image) for image in images[1:])


def test_sizes_are_rounded_and_a_film_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_image("style.png", smooth_image(30, 50))
    assert main([*TILE, *QUICK, "--data.plan.size=45", "--data.style=style.png"]) == 0
    assert read_image(Path("logs/tile/version_0/stylized.png")).image.shape[-2:] == (24, 48)
    video = ["fit", f"--config={CONFIGS / 'video.yaml'}", *QUICK, "--model.tileable=true"]
    assert main([*video, "--data.content=sample:clip", "--data.style=style.png"]) == 1
    assert "Expected a still as content with `tileable`, but got a film" in capsys.readouterr().err
    assert not Path("logs/video").exists()


def test_checkpoint_holds_nothing_but_the_image_and_its_optimizer() -> None:
    content = smooth_image(32, 32)
    write_image("content.png", content)
    args = ["--data.content=content.png", "--data.style=sample:swirl", "--model.tileable=true"]
    assert main(["fit", f"--config={CONFIGS / 'transfer.yaml'}", *QUICK, *args]) == 0
    assert set(read_checkpoint()["state_dict"]) == {"image"}
