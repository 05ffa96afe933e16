"""Runs of `fit` whose start or result has the colors of the style."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from nst_lightning.__main__ import main
from nst_lightning.data.palette import Palette
from nst_lightning.data.transfer import TransferData
from nst_lightning.images.io import read_image, to_pil
from nst_lightning.video.film import Film
from tests.cli import film_run
from tests.cli.film_run import assert_same_films, read_frames
from tests.cli.transfer_run import read_checkpoint, read_events, run_folder

MATCHED = ("--data.palette.result=1", "--data.palette.space=rgb")


def read_result(number: int = 0, name: str = "stylized.png") -> Tensor:
    return read_image(run_folder(number) / name).image


def test_result_is_matched_and_the_run_is_not(run_transfer: Any) -> None:
    steps = ["--data.plan.steps=4", "--snapshots.at_steps=[4]"]
    assert run_transfer(*steps) == 0
    assert run_transfer(*steps, *MATCHED, "--output=copy.png") == 0
    plain, matched = (read_checkpoint(number)["state_dict"]["image"] for number in (0, 1))
    assert torch.equal(plain, matched)
    assert torch.equal(read_result(1), read_image("copy.png").image)
    assert torch.equal(read_result(1), read_result(1, "step_000004.png"))
    style = read_image("style.png").image.mean((0, 2, 3))
    distances = [float((read_result(number).mean((0, 2, 3)) - style).norm()) for number in (0, 1)]
    assert distances[1] < 0.25 * distances[0]


def test_matched_run_resumes_bitwise(run_transfer: Any) -> None:
    assert run_transfer(*MATCHED, "--data.plan.steps=4") == 0
    assert run_transfer(*MATCHED, "--data.plan.steps=4", "--trainer.max_steps=2") == 0
    assert run_transfer(*MATCHED, "--data.plan.steps=4", "--ckpt_path=last") == 0
    assert torch.equal(*(read_checkpoint(number)["state_dict"]["image"] for number in (0, 1)))
    assert torch.equal(read_result(0), read_result(1))


def test_start_is_matched(run_transfer: Any) -> None:
    # With a step of length 0 the result is the start.
    still = ["--model.optimizer=SGD", "--model.optimizer.lr=0"]
    assert run_transfer(*still) == 0
    assert run_transfer(*still, "--data.palette.start=1") == 0
    style = read_image("style.png").image.mean((0, 2, 3))
    distances = [float((read_result(number).mean((0, 2, 3)) - style).norm()) for number in (0, 1)]
    assert distances[1] < 0.25 * distances[0]


def test_styles_with_own_options_on_the_command_line(run_transfer: Any) -> None:
    assert run_transfer("--data.style=[content.png, {file: style.png, scale: [0.5, 1], rotation: 90}]") == 0
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())["data"]["style"]
    assert saved == ["content.png", {"file": "style.png", "scale": [0.5, 1], "rotation": 90}]
    assert main(["fit", f"--config={run_folder()}/config.yaml"]) == 0
    assert torch.equal(read_result(0), read_result(1))
    shown = {name for name in read_events(0).Tags()["images"] if "style_" in name}
    assert shown == {"image/style_1", "image/style_2", "image/style_3"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--data.style=[{file: style.png, rotation: 45}]", "Expected `rotation` to be a multiple of 90 degrees"),
        ("--data.style={file: style.png, sale: 2}", "did you mean 'scale'?"),
        ("--data.style={file: style.png, scale: 0.02}", "Expected the style to have at least"),
        ("--data.palette.result=1.5", "Expected `palette.result` to be from 0 to 1, but got 1.5"),
        ("--data.style_rotation=[]", "Expected `style_rotation` to be a multiple of 90"),
    ],
)
def test_wrong_option_is_an_error_of_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert run_transfer(option) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("logs").exists()


def test_frames_of_a_shot_have_the_map_of_its_first_frame(run_film: Any) -> None:
    assert run_film() == 0
    assert run_film(*MATCHED, "--output=out") == 0
    plain, painted = read_frames(0), read_frames(1)
    assert all(torch.equal(*frames) for frames in zip(plain, painted, strict=True)), "later frames start from these"
    palette = Palette(result=1, space="rgb")
    data = TransferData(style="style.png", palette=palette)
    data.setup("fit")
    colors, source = data.styles.measure_colors((32, 40), palette), palette.measure(painted[0])
    for frame, path in zip(painted, sorted(Path("out").glob("*.png")), strict=True):
        expected = to_pil(palette.match(frame, source, colors, 1))
        assert to_pil(read_image(path).image).tobytes() == expected.tobytes()
    assert (film_run.run_folder(0) / "film.mp4").read_bytes() != (film_run.run_folder(1) / "film.mp4").read_bytes()
    assert len(Film(film_run.run_folder(1) / "film.mp4")) == 5
    errors = [film_run.read_film_summary(number)["per_frame"][1]["warping_error"] for number in (0, 1)]
    assert errors[0] != errors[1], "flicker is that of the result"


@pytest.mark.parametrize("cut", [3, 8])
def test_resumed_film_has_the_same_maps(run_film: Any, cut: int) -> None:
    options = [*MATCHED, "--data.palette.start=0.7", "--data.blend=0.5"]
    assert run_film(*options) == 0
    assert run_film(*options, f"--trainer.max_steps={cut}") == 0
    assert run_film(*options, "--ckpt_path=last") == 0
    assert_same_films()
