"""Runs of `fit` with masks."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image
from tests.cli.film_run import assert_same_films
from tests.cli.transfer_run import run_folder

# The pictures of the fixture `run_transfer`: a content of 40x30 px and a style of 30x36 px.
WHITE, BLACK = 255, 0


@pytest.fixture
def masks(empty_folder: Path) -> None:
    """Writes masks of the content, `left.png` and `tall.png`, and maps of content and style."""
    for name, size in (("left.png", (40, 30)), ("tall.png", (30, 40)), ("black.png", (40, 30))):
        mask = Image.new("L", size, BLACK)
        mask.paste(BLACK if name == "black.png" else WHITE, (0, 0, size[0] // 2, size[1]))
        mask.save(name)
    for name, size in (("map.png", (40, 30)), ("style_map.png", (30, 36)), ("map.jpg", (40, 30))):
        labels = Image.new("P" if name.endswith("png") else "RGB", size)
        if labels.mode == "P":
            labels.putpalette([255, 0, 0, 0, 0, 255])
            labels.paste(1, (0, 0, size[0] // 2, size[1]))
        labels.save(name)
    Image.new("RGB", (30, 36), (255, 0, 0)).save("red.png")


def read_data(number: int = 0) -> dict[str, Any]:
    options: dict[str, Any] = yaml.safe_load((run_folder(number) / "config.yaml").read_text())["data"]
    return options


@pytest.mark.usefixtures("masks")
def test_run_with_masks_is_repeated_by_its_configuration(run_transfer: Any) -> None:
    styles = "[{file: style.png, mask: left.png}, {file: sample:glass, mask: 'map.png#0', scale: 0.8}]"
    options = ["--data.hold=left.png", "--data.hold_weight=4", "--data.style_strength=left.png", "--data.rest=1"]
    assert run_transfer(f"--data.style={styles}", *options) == 0
    data = read_data()
    assert data["style"][1] == {"file": "sample:glass", "mask": "map.png#0", "scale": 0.8}
    assert (data["hold"], data["hold_weight"], data["rest"], data["move_masks"]) == ("left.png", 4, 1, False)
    assert main(["fit", f"--config={run_folder()}/config.yaml"]) == 0
    assert torch.equal(*(read_image(run_folder(number) / "stylized.png").image for number in (0, 1)))


@pytest.mark.usefixtures("masks")
def test_run_with_maps_resumes_bitwise(run_transfer: Any) -> None:
    options = ["--data.style=[{file: style.png, map: style_map.png}]", "--data.content_map=map.png"]
    assert run_transfer(*options, "--data.plan.steps=4") == 0
    assert run_transfer(*options, "--data.plan.steps=4", "--trainer.max_steps=2") == 0
    assert run_transfer(*options, "--data.plan.steps=4", "--ckpt_path=last") == 0
    assert torch.equal(*(read_image(run_folder(number) / "stylized.png").image for number in (0, 1)))


@pytest.mark.usefixtures("masks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.style={file: style.png, mask: left.png}"], "50.0 % of the picture has none"),
        (["--data.style={file: style.png, mask: tall.png}"], "the proportions of its picture of 40x30 px"),
        (["--data.style={file: style.png, mask: black.png}"], "`mask` of style 0 black.png to be white"),
        (["--data.style={file: style.png, mask: style.png}"], "but it is colored: save it in gray"),
        (["--data.style={file: style.png, mask: 'map.png#7'}"], "the label #7 in map.png, but its labels are #0, #1"),
        (["--data.style={file: style.png, mask: left.png}", "--data.rest=4"], "a number from 0 to 0, but got 4"),
        (["--data.style={file: style.png, map: style_map.png}"], "add --data.content_map"),
        (["--data.content_map=map.png"], "add `map: FILE` to each style"),
        (["--data.style={file: style.png, map: style_map.png}", "--data.content_map=map.jpg"], "it is a JPEG"),
        (
            ["--data.style={file: style.png, map: red.png}", "--data.content_map=map.png"],
            "#0000ff of map.png in red.png",
        ),
        (["--data.style={file: style.png, mesk: left.png}"], "did you mean 'mask'?"),
        (["--data.hold=missing.png"], "there is none at missing.png"),
        (["--data.hold_weight=0"], "`hold_weight` to be 1 or more"),
    ],
)
def test_unusable_mask_is_an_error_of_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_transfer(*options) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("logs").exists()


@pytest.mark.parametrize("cut", [3, 8])
def test_resumed_film_has_the_same_moved_masks(run_film: Any, cut: int) -> None:
    mask = Image.new("L", (320, 256))
    mask.paste(255, (60, 40, 200, 200))
    mask.save("mask.png")
    styles = "{file: style.png, mask: mask.png}"
    options = [f"--data.style={styles}", "--data.rest=content", "--data.hold=mask.png", "--data.move_masks=true"]
    assert run_film(*options) == 0
    assert run_film(*options, f"--trainer.max_steps={cut}") == 0
    assert run_film(*options, "--ckpt_path=last") == 0
    assert_same_films()
