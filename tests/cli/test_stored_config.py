"""Runs whose content and style come from the picture that they start from."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst_lightning.__main__ import main
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.images.io import CONFIG_KEY, read_config, read_image, write_image
from nst_lightning.study.spec.resolve import ConfigurationResolver
from tests.cli.transfer_run import SHALLOW_STYLE, read_checkpoint, run_folder
from tests.helpers import CONFIGS, smooth_image

ENLARGE = f"--config={CONFIGS / 'enlarge.yaml'}"
START = "--model.initialization=small.png"
QUICK = ["--model.backbone=VGG19", "--model.backbone.weights=random", SHALLOW_STYLE, "--data.plan.steps=2"]
STYLES = ["content.png", {"file": "style.png", "scale": [0.5, 1.0]}]
OPTIONS = ["--data.style=[content.png, {file: style.png, scale: [0.5, 1]}]", "--data.style_weights=[1, 3]"]
OPTIONS += ["--data.palette.result=0.5", "--data.style_match=area"]


@pytest.fixture
def small(run_transfer: Any) -> Any:
    """Paints small.png of 32 px with options of the styles; returns the function that paints."""
    assert run_transfer(*OPTIONS, "--output=small.png") == 0
    return run_transfer


def parse(*args: str) -> Any:
    return TransferCLI([ENLARGE, *args]).config.data


def enlarge(*args: str) -> int:
    return main(["fit", ENLARGE, START, *QUICK, *args])


def read_run(number: int = 0) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((run_folder(number, "enlarge") / "config.yaml").read_text())
    return config


@pytest.mark.usefixtures("small")
def test_options_of_the_styles_come_from_the_picture() -> None:
    data = parse(START)
    assert (data.content, data.style, data.style_weights) == ("small.png", STYLES, [1, 3])
    assert (data.palette.result, data.style_match) == (0.5, "area")
    assert (data.plan.size, data.plan.smallest, data.plan.ladder) == (64, 33, "octaves")
    assert parse(START, "--data.content=stored").content == "content.png"


@pytest.mark.usefixtures("small")
def test_options_of_the_command_have_precedence() -> None:
    data = parse(START, "--data.style_match=short", "--data.palette.result=0", "--data.plan.size=128")
    assert (data.style, data.style_match, data.palette.result) == (STYLES, "short", 0)
    assert (data.plan.size, data.plan.smallest) == (128, 33)
    data = parse("--data.content=style.png", "--data.plan.smallest=16", START)
    assert (data.content, data.style, data.plan.smallest) == ("style.png", STYLES, 16)


@pytest.mark.usefixtures("small")
def test_another_style_has_none_of_the_options_of_the_stored_one() -> None:
    data = parse(START, "--data.style=style.png", "--data.content=stored")
    assert (data.content, data.style, data.style_weights) == ("content.png", "style.png", None)
    assert (data.palette.result, data.style_match, data.plan.smallest) == (0, "long", 33)


@pytest.mark.usefixtures("small")
def test_written_configuration_is_complete() -> None:
    assert enlarge() == 0
    assert read_image(run_folder(0, "enlarge") / "stylized.png").image.shape[-1] == 64
    data = read_run()["data"]
    assert (data["content"], data["style"], data["plan"]["smallest"]) == ("small.png", STYLES, 33)
    assert yaml.safe_load(read_config(run_folder(0, "enlarge") / "stylized.png")) == read_run()
    assert main(["fit", f"--config={run_folder(0, 'enlarge')}/config.yaml"]) == 0
    results = [read_image(run_folder(number, "enlarge") / "stylized.png").image for number in (0, 1)]
    assert torch.equal(*results)


@pytest.mark.usefixtures("small")
def test_resumed_run_equals_the_whole_run_bitwise() -> None:
    options = ["--data.plan.size=128", "--trainer.logger.name=transfer"]
    assert enlarge(*options) == 0
    assert enlarge(*options, "--trainer.max_steps=3") == 0
    assert enlarge(*options, "--ckpt_path=last") == 0
    assert read_checkpoint(1)["global_step"] == read_checkpoint(2)["global_step"] == 4
    assert torch.equal(*(read_checkpoint(number)["state_dict"]["image"] for number in (1, 2)))


@pytest.mark.usefixtures("small")
def test_enlarged_picture_can_be_enlarged() -> None:
    assert enlarge("--output=large.png") == 0
    assert enlarge("--model.initialization=large.png") == 0
    data = read_run(1)["data"]
    assert (data["content"], data["style"], data["plan"]["size"]) == ("large.png", STYLES, 128)


@pytest.mark.usefixtures("small")
def test_study_resolves_the_stored_configuration_for_each_picture() -> None:
    resolver = ConfigurationResolver()
    assert resolver.resolve([CONFIGS / "enlarge.yaml"], {})["data"]["style"] == "stored", "an axis names the picture"
    resolved = resolver.resolve([CONFIGS / "enlarge.yaml"], {"model.initialization": "small.png"})
    assert resolved["data"]["style"] == STYLES


@pytest.mark.parametrize("style", ["--data.style=style.png", "--data.style={file: style.png, scale: 0.5}"])
def test_picture_of_another_program_needs_a_style(run_transfer: Any, style: str) -> None:
    write_image("small.png", smooth_image(20, 16), config="a text")
    with pytest.raises(InputError, match=r"stores the style.* add --data.style FILE"):
        parse(START)
    for content in ("start", "stored"):
        data = parse(START, style, f"--data.content={content}")
        assert (data.content, data.plan.size) == ("small.png", 40)


def change_stored(**options: Any) -> None:
    """Replaces options of `data` in the configuration that small.png stores."""
    config = yaml.safe_load(read_config("small.png"))
    config["data"] |= options
    write_image("small.png", read_image("small.png").image, config=yaml.safe_dump(config))


def test_picture_without_content_is_its_own_content(small: Any) -> None:
    change_stored(content=None)
    assert parse(START, "--data.content=stored").content == "small.png"


@pytest.mark.parametrize(
    ("stored", "option", "message"),
    [
        (
            {"style": "lost.png"},
            START,
            "Expected the style lost.png, which small.png was painted from",
        ),
        ({"style": ["style.png", {"file": "lost.png"}]}, START, "add --data.style FILE"),
        ({"style": None}, START, "Expected a picture that stores the style"),
        ({"content": "lost.png"}, "--data.content=stored", "Expected the content lost.png"),
        ({"content": "sample:clip"}, "--data.content=stored", "was painted from the film sample:clip"),
        ({"unknown": 3}, START, "unknown"),
        ({}, "--model.initialization=lost.png", "there is no file lost.png"),
        ({}, "--model.initialization=content", "add --model.initialization FILE"),
    ],
)
def test_missing_picture_is_an_error_of_one_line(
    small: Any, capsys: pytest.CaptureFixture[str], stored: dict[str, Any], option: str, message: str
) -> None:
    change_stored(**stored)
    capsys.readouterr()
    assert enlarge(option) in (1, 2)
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("logs/enlarge").exists()


def test_lost_files_are_not_needed_if_others_are_given(small: Any) -> None:
    change_stored(content="lost.png", style="lost.png", style_weights=None)
    data = parse(START, "--data.style=style.png")
    assert (data.content, data.style) == ("small.png", "style.png")


@pytest.mark.usefixtures("small")
def test_a_picture_names_no_class_that_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration is code; a picture is none."""
    Path("hostile.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(".")
    config = yaml.safe_load(read_config("small.png"))
    config["data"]["flow"] = {"class_path": "hostile.Flow"}
    config["data"]["palette"] = {"class_path": "hostile.Palette", "init_args": {"result": 1}}
    text = PngInfo()
    text.add_itxt(CONFIG_KEY, yaml.safe_dump(config))
    with Image.open("small.png") as picture:
        picture.save("small.png", pnginfo=text)
    data = parse(START)
    assert data.style == STYLES
    assert data.flow == "dis"
    assert data.palette.result == 0
