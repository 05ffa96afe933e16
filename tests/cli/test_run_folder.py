"""The files that a run leaves."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nst_lightning.images.io import read_config, read_image, write_image
from tests.cli.transfer_run import read_checkpoint, read_events, run_folder
from tests.helpers import TRANSFER_TERMS, smooth_image


def test_run_folder_contains_all_files_of_a_run(run_transfer: Any) -> None:
    assert run_transfer("--output=out/result.jpg") == 0
    files = {str(path.relative_to(run_folder())) for path in run_folder().rglob("*") if path.is_file()}
    assert {"config.yaml", "stylized.png", "checkpoints/last.ckpt"} <= files
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert not [name for name in files if "part" in name]
    result = read_image(run_folder() / "stylized.png").image
    assert result.shape == (1, 3, 24, 32)
    assert (read_image("out/result.jpg").image - result).abs().mean() < 0.05


def test_run_configuration_is_resolved_and_stored_in_pictures(run_transfer: Any) -> None:
    run_transfer("--model.losses.style.weight=5", "--output=result.jpg")
    config = (run_folder() / "config.yaml").read_text()
    resolved = yaml.safe_load(config)
    assert resolved["model"]["losses"]["style"]["init_args"]["weight"] == 5
    assert resolved["data"]["plan"]["size"] == 32
    assert read_config(run_folder() / "stylized.png") == config
    assert read_config("result.jpg") == config


@pytest.mark.parametrize("name", ["result.tiff", "result.png"])
def test_run_with_a_depth_of_16_bits_writes_the_image_without_rounding_to_8(run_transfer: Any, name: str) -> None:
    assert run_transfer("--depth=16", f"--output={name}", "--snapshots.at_steps=[1]") == 0
    image = read_checkpoint()["state_dict"]["image"].clamp(0, 1)
    config = (run_folder() / "config.yaml").read_text()
    assert yaml.safe_load(config)["depth"] == 16
    for path in (run_folder() / "stylized.png", Path(name)):
        assert (read_image(path).image - image).abs().max() < 1e-5
        assert read_config(path) == config
    (snapshot,) = run_folder().glob("*1.png")
    assert snapshot.stat().st_size < (run_folder() / "stylized.png").stat().st_size


def test_run_refuses_a_depth_that_its_output_has_not(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_transfer("--depth=16", "--output=result.jpg") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line)
    assert re.search(r"error: Expected a file that ends in \.png, .* 16 bits, but got result.jpg", line)
    assert not Path("logs").exists()


@pytest.mark.parametrize("option", ["--data.content", "--data.style", "--data.hold", "--model.initialization"])
def test_run_refuses_pictures_above_the_limit(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    write_image("large.png", smooth_image(60, 80))
    assert run_transfer(f"{option}=large.png", "--max_pixels=2000") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line)
    assert re.search(r"at most 2000 pixels, but large.png has 80x60 px: raise .*--max_pixels 4800", line)
    # The limit ends with the run.
    assert read_image("large.png").image.shape == (1, 3, 60, 80)


def test_run_reads_pictures_up_to_the_limit(run_transfer: Any) -> None:
    write_image("large.png", smooth_image(60, 80))
    assert run_transfer("--data.content=large.png", "--model.initialization=large.png", "--max_pixels=4800") == 0


def test_tensorboard_contains_curves_pictures_and_configuration(run_transfer: Any) -> None:
    run_transfer("--data.plan.steps=20", "--previews.every_n_steps=8", "--model.layer_curves_every_n_steps=10")
    tags = read_events().Tags()
    assert {"loss/total", *(f"loss/{term}" for term in TRANSFER_TERMS), "layers/style/conv_2"} <= set(tags["scalars"])
    assert len(read_events().Scalars("loss/total")) == 2
    assert len(read_events().Scalars("layers/content/conv_3")) == 2
    assert {"image/content", "image/style", "image/start", "image/stylized"} == set(tags["images"])
    assert [image.step for image in read_events().Images("image/stylized")] == [8, 16, 20]
    assert len(read_events().Images("image/content")) == 1
    assert "configuration/text_summary" in tags["tensors"]
    assert "final/total" in tags["scalars"]
    total, *terms = (read_events().Scalars(f"loss/{name}")[-1].value for name in ("total", *TRANSFER_TERMS))
    assert total == pytest.approx(sum(terms))
    assert "_hparams_/session_start_info" in read_events().summary_metadata
    hyperparameters = yaml.safe_load((run_folder() / "hparams.yaml").read_text())
    assert hyperparameters["model.losses.style.weight"] == 1e3
    assert not [name for name in hyperparameters if name.startswith("trainer")]


def test_run_without_a_logger_writes_only_the_output(run_transfer: Any) -> None:
    assert run_transfer("--trainer.logger=false", "--output=result.png") == 0
    assert {path.name for path in Path().iterdir()} == {"content.png", "style.png", "result.png"}


def test_run_restores_alpha(run_transfer: Any) -> None:
    alpha = torch.ones(1, 1, 32, 32)
    alpha[..., :16] = 0
    write_image("half.png", smooth_image(32, 32), alpha)
    run_transfer("--data.content=half.png")
    actual = read_image(run_folder() / "stylized.png").alpha
    assert actual is not None
    assert torch.equal(actual, alpha)


def test_checkpoint_contains_only_the_image_and_the_optimizer(run_transfer: Any) -> None:
    run_transfer()
    kept = read_checkpoint()
    assert list(kept["state_dict"]) == ["image"]
    assert "hyper_parameters" not in kept


@pytest.mark.parametrize(("optimizer", "limit"), [("CompactLBFGS", 80e6), ("LBFGS", 80e6), ("Adam", 12e6)])
def test_checkpoint_at_512_px_is_small(run_transfer: Any, optimizer: str, limit: float) -> None:
    write_image("square.png", smooth_image(512, 512))
    args = ["--data.content=square.png", "--data.plan.size=512", "--data.plan.steps=12"]
    args += ["--model.losses.style.layers=[image]", "--model.losses.content.layers=[image]"]
    assert run_transfer(*args, f"--model.optimizer={optimizer}") == 0
    assert (run_folder() / "checkpoints" / "last.ckpt").stat().st_size < limit


def test_nan_loss_keeps_the_last_finite_image(run_transfer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        f"--model.optimizer={__name__}.DivergingOptimizer",
        "--data.plan.steps=9",
        "--checkpoints.every_n_steps=2",
    ]
    assert run_transfer(*args) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error"))
    assert re.search(r"Expected a finite loss, but .* at step 5", line)
    assert read_checkpoint()["global_step"] == 4
    image = read_checkpoint()["state_dict"]["image"]
    assert (read_image(run_folder() / "stylized.png").image - image.clamp(0, 1)).abs().max() < 0.01


class DivergingOptimizer(torch.optim.Optimizer):
    """Adds 0.01 four times, then NaN."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})
        self.calls = 0

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        self.calls += 1
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(0.01 if self.calls < 5 else float("nan"))
        return loss
