"""Runs of `fit` whose result has the colors of the content, or is matched to the style."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from nst_lightning.__main__ import main
from nst_lightning.data.palette import Palette
from nst_lightning.functional.color import srgb_to_oklab
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.samples.drawing.clip import Clip
from nst_lightning.training.objective import Objective
from nst_lightning.video.film import Film
from nst_lightning.video.writer import Timing, write_film
from tests.cli import film_run
from tests.cli.film_run import CLIP, assert_same_films, read_frames
from tests.cli.transfer_run import read_checkpoint, run_folder


def read_result(number: int = 0, name: str = "stylized.png") -> Tensor:
    return read_image(run_folder(number) / name).image


def chroma(image: Tensor) -> Tensor:
    return srgb_to_oklab(image)[:, 1:]


def chroma_distance(number: int, file: str = "content.png") -> float:
    """Returns the mean distance of a result's chroma from that of the content."""
    result = read_result(number)
    content = resize(read_image(file).image, *result.shape[-2:])
    return float((chroma(result) - chroma(content)).norm(dim=1).mean())


def test_modes_differ_in_how_near_the_colors_are_to_the_content(run_transfer: Any) -> None:
    steps = "--data.plan.steps=4"
    for number, colors in enumerate(["style", "content", "luminance"]):
        assert run_transfer(steps, f"--data.colors={colors}") == 0, number
    distances = [chroma_distance(number) for number in range(3)]
    assert distances[2] < distances[1] < distances[0]
    # Some colors of the content are outside of sRGB at the lightness of the result.
    assert distances[2] < 0.2 * distances[0]


def test_chroma_is_put_back_into_files_and_not_into_the_image(run_transfer: Any) -> None:
    options = ["--data.colors=luminance", "--data.plan.steps=4", "--snapshots.at_steps=[4]", "--output=copy.png"]
    assert run_transfer(*options) == 0
    painted = read_checkpoint()["state_dict"]["image"]
    assert chroma(painted).norm(dim=1).mean() < 0.3 * chroma(read_result()).norm(dim=1).mean()
    assert torch.equal(read_result(), read_image("copy.png").image)
    assert torch.equal(read_result(), read_result(0, "step_000004.png"))


@pytest.mark.parametrize("colors", ["content", "luminance", "match"])
def test_run_with_colors_resumes_bitwise(run_transfer: Any, colors: str) -> None:
    options = [f"--data.colors={colors}", "--data.color_strength=0.8", "--data.plan.steps=3"]
    options += ["--data.plan.ladder=octaves", "--data.plan.smallest=16"]
    assert run_transfer(*options) == 0
    assert run_transfer(*options, "--trainer.max_steps=4") == 0
    assert run_transfer(*options, "--ckpt_path=last") == 0
    assert torch.equal(*(read_checkpoint(number)["state_dict"]["image"] for number in (0, 1)))
    assert torch.equal(read_result(0), read_result(1))


def test_initialization_by_the_style_has_the_colors_of_the_content(run_transfer: Any) -> None:
    # With a step of length 0 the result is the start.
    still = ["--model.optimizer=SGD", "--model.optimizer.lr=0", "--model.initialization=style"]
    for colors in ("style", "content"):
        assert run_transfer(*still, f"--data.colors={colors}") == 0
    target = read_image("content.png").image.mean((0, 2, 3))
    distances = [float((read_result(number).mean((0, 2, 3)) - target).norm()) for number in range(2)]
    assert distances[1] < 0.25 * distances[0]


def test_colors_of_one_style_on_the_command_line(run_transfer: Any) -> None:
    style = "[{file: style.png, colors: luminance, color_strength: 0.5}, sample:waves]"
    assert run_transfer(f"--data.style={style}") == 0
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())["data"]
    assert saved["style"] == [{"file": "style.png", "colors": "luminance", "color_strength": 0.5}, "sample:waves"]
    assert (saved["colors"], saved["color_strength"]) == ("style", 1.0)
    assert main(["fit", f"--config={run_folder()}/config.yaml"]) == 0
    assert torch.equal(read_result(0), read_result(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.colors=gray"], "gray"),
        (["--data.colors=match", "--data.color_strength=1.5"], "Expected `color_strength` to be from 0 to 1"),
        (["--data.color_strength=0.5"], "Expected `color_strength` together with `colors` content"),
        (["--data.style={file: style.png, colors: gray}"], "Expected `colors` to be style, content, luminance, match"),
        (["--data.style={file: style.png, color: match}"], "did you mean 'colors'?"),
        (
            [
                "--data.colors=content",
                "--data.content=null",
                "--model.losses={style: {class_path: GramLoss, init_args: {layers: [conv_1]}}}",
            ],
            "Expected a content",
        ),
        (
            [
                "--data.colors=content",
                "--data.style=null",
                "--model.losses={content: {class_path: ContentLoss, init_args: {layers: [conv_1]}}}",
            ],
            "Expected a style for `colors",
        ),
        (["--data.colors=luminance", "--data.palette.result=1"], "Expected `palette.result` to be 0 with `colors"),
    ],
)
def test_wrong_option_is_an_error_of_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_transfer(*options) != 0
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("logs").exists()


def write_two_shots() -> None:
    other = Clip(3, 40, 32, background="landscape", ball=None)
    frames = [CLIP.picture(n) for n in range(3)] + [other.picture(n) for n in range(3)]
    times = [Fraction(n, 10) for n in range(6)]
    write_film(Path("cut.mp4"), iter(frames), Timing(times, Fraction(6, 10)))


def test_targets_follow_the_colors_of_each_shot(run_film: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_two_shots()
    styles: list[Tensor] = []
    original = Objective._set_targets

    def record_target(self: Objective, reference: Any, pictures: Any, *rest: Any) -> None:
        styles.extend(example.picture for example in pictures if reference == "style")
        original(self, reference, pictures, *rest)

    monkeypatch.setattr(Objective, "_set_targets", record_target)
    assert run_film("--data.content=cut.mp4", "--data.colors=content") == 0
    contents = list(Film(Path("cut.mp4")).frames(32, 40))
    palette, style = Palette(), resize(read_image("style.png").image, 33, 40)
    assert len(styles) == 2, "once for each shot"
    for actual, content in zip(styles, (contents[0], contents[3]), strict=True):
        target = palette.measure_styles([content], [None], [1.0])
        torch.testing.assert_close(actual, palette.match(style, palette.measure(style), target, 1.0))


def test_frames_get_their_own_chroma_in_the_film_only(run_film: Any) -> None:
    assert run_film("--data.colors=luminance", "--output=out") == 0
    contents = list(Film(Path("clip.mp4")).frames(32, 40))
    results = [read_image(path).image for path in sorted(Path("out").glob("*.png"))]
    assert all(not torch.equal(*pair) for pair in zip(read_frames(), results, strict=True))
    for painted, result, content in zip(read_frames(), results, contents, strict=True):
        distances = [(chroma(image) - chroma(content)).norm(dim=1).mean() for image in (painted, result)]
        assert distances[1] < 0.35 * distances[0]
    assert len(Film(film_run.run_folder() / "film.mp4")) == 5


@pytest.mark.parametrize("colors", ["content", "luminance", "match"])
def test_resumed_film_has_the_same_colors(run_film: Any, colors: str) -> None:
    write_two_shots()
    options = ["--data.content=cut.mp4", f"--data.colors={colors}", "--data.blend=0.5"]
    assert run_film(*options) == 0
    assert run_film(*options, "--trainer.max_steps=15") == 0
    assert run_film(*options, "--ckpt_path=last") == 0
    assert_same_films(6)
