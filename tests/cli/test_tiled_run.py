from pathlib import Path
from typing import Any

import pytest
import torch

from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.training.memory_estimate import MemoryEstimate
from nst_lightning.training.resume import read_checkpoint, read_tile
from tests.cli.transfer_run import run_folder

TILED = ["--data.plan.size=160", "--data.plan.tile=64"]
LARGE = ["--data.plan.size=160", "--data.plan.steps=4"]


def read_picture(number: int) -> torch.Tensor:
    return read_image(run_folder(number) / "stylized.png").image


@pytest.mark.parametrize("cut", [1, 3])
def test_run_in_tiles_resumes_bitwise(run_transfer: Any, cut: int) -> None:
    options = [*LARGE, "--data.plan.tile=64"]
    assert run_transfer(*options) == 0
    assert run_transfer(*options, f"--trainer.max_steps={cut}") == 0
    assert read_tile(read_checkpoint(run_folder(1) / "checkpoints" / "last.ckpt")) == 64
    assert run_transfer(*options, "--ckpt_path=last") == 0
    assert torch.equal(read_picture(0), read_picture(1))


def test_neighbors_in_tiles_resume_bitwise(run_transfer: Any) -> None:
    loss = ["--model.losses.style=NeighborLoss", "--model.losses.style.layers=[conv_1,conv_2]"]
    options = [*LARGE, "--data.plan.tile=64", *loss, "--model.losses.style.every=3", "--model.losses.style.weight=1e3"]
    assert run_transfer(*options) == 0
    for cut in (2, 3):
        assert run_transfer(*options, f"--trainer.max_steps={cut}") == 0
        assert run_transfer(*options, "--ckpt_path=last") == 0
        assert torch.equal(read_picture(0), read_picture(cut - 1))


def test_run_in_tiles_paints_the_picture_of_a_run_without(run_transfer: Any) -> None:
    exact = [*LARGE, "--trainer.precision=32-true", "--model.optimizer=SGD", "--model.optimizer.lr=0.01"]
    assert run_transfer(*exact) == 0
    assert run_transfer(*exact, "--data.plan.tile=64") == 0
    first, second = read_picture(0), read_picture(1)
    content = resize(read_image("content.png").image, *first.shape[-2:])
    assert (first - content).abs().max() > 0.02
    assert (first - second).abs().max() <= 1 / 255 + 1e-6


def test_tiles_are_chosen_if_memory_is_scarce(
    run_transfer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed: list[tuple[int | None, int]] = []
    measure = MemoryEstimate.bytes

    def record(self: MemoryEstimate, tile: int | None, items: int = 1) -> int:
        needed.append((tile, measure(self, tile, items)))
        return needed[-1][1]

    def run(free: int, *options: str) -> int:
        monkeypatch.setattr("nst_lightning.training.memory_estimate.free_bytes", lambda device: free)
        return int(run_transfer("--data.plan.size=544", *options))

    monkeypatch.setattr(MemoryEstimate, "bytes", record)
    assert run(1, "--data.plan.steps=1") == 1
    assert "Expected the picture to fit into memory" in capsys.readouterr().err
    assert [tile for tile, _ in needed] == [None, 512, 384, 256]
    assert needed[0][1] > needed[-1][1]
    assert not Path("logs").exists()
    assert run(needed[-1][1], "--data.plan.steps=1") == 0
    assert "are free: painting in tiles of 256 px." in capsys.readouterr().out
    checkpoint = run_folder() / "checkpoints" / "last.ckpt"
    assert read_tile(read_checkpoint(checkpoint)) == 256
    # A run that resumes keeps its tiles, whatever is free then.
    assert run(10**12, "--data.plan.steps=2", "--ckpt_path=last") == 0
    assert read_tile(read_checkpoint(checkpoint)) == 256
    assert run(10**12, "--data.plan.steps=1") == 0
    assert "tiles" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.plan.tile=32"], "Expected `plan.tile` to be 64 px or more, but got 32."),
        (
            [
                *TILED,
                "--model.losses.style=SlicedWassersteinLoss",
                "--model.losses.style.layers=[conv_1]",
            ],
            "the term 'style' (SlicedWassersteinLoss) needs the whole picture at a time",
        ),
        ([*TILED, "--model.tileable=true"], "`tileable` needs the whole picture at a time"),
    ],
)
def test_unusable_tiles_are_an_error_of_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_transfer(*options) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("logs").exists()


def test_pictures_that_fit_into_a_tile_may_have_any_term(run_transfer: Any) -> None:
    loss = ["--model.losses.style=SlicedWassersteinLoss", "--model.losses.style.layers=[conv_1]"]
    assert run_transfer("--data.plan.size=64", "--data.plan.tile=64", *loss) == 0
    assert read_tile(read_checkpoint(run_folder() / "checkpoints" / "last.ckpt")) == 64
