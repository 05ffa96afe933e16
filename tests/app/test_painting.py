"""Paintings: what is refused, and the arguments and commands."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image, PngImagePlugin

from nst_lightning.app.painting import RECIPES, Painting, StyleInput
from nst_lightning.app.term_weights import read_term_weights
from nst_lightning.app.uploads import UploadStore
from nst_lightning.cli.configs import packaged_config
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.data.plan import Plan, Stage
from nst_lightning.errors import InputError

GLASS = StyleInput("sample:glass")
PLAIN = Painting("sample:cat", (GLASS,))
RUN = "r-0123456789abcdef"


def read_options(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


BAD_VALUES: list[dict[str, Any]] = [
    {"recipe": "../transfer"},
    {"recipe": "huge"},
    {"recipe": "/etc/passwd"},
    {"colors": "rgb"},
    {"styles": ()},
    {"styles": (GLASS,) * 5},
    {"styles": (replace(GLASS, weight=-1),)},
    {"styles": (replace(GLASS, weight=0),)},
    {"styles": (replace(GLASS, weight=float("nan")),)},
    {"styles": (replace(GLASS, scale=0),)},
    {"styles": (replace(GLASS, scale=float("inf")),)},
    {"size": 15},
    {"size": 8193},
    {"size": 512.5},
    {"size": "512"},
    {"size": True},
    {"seed": -1},
    {"seed": 2**32},
    {"strength": 1.5},
    {"strength": float("nan")},
    {"stroke": 0.0},
    {"threads": 0},
    {"term_factors": {"neighbor": 2.0}},
    {"term_factors": {"style": -1.0}},
    {"term_factors": {"style": float("inf")}},
    {"term_factors": {"content": 0, "style": 0, "smooth": 0}},
    {"more_steps": -1},
    {"start": "r-0"},
    {"start": f"{RUN}/.."},
    {"start": RUN, "enlarge": RUN},
    {"start": RUN, "recipe": "video"},
    {"content": None},
    {"recipe": "texture"},
    {"recipe": "texture", "content": None, "colors": "content"},
    {"recipe": "texture", "content": None, "styles": (replace(GLASS, mask="sample:cat_mask"),)},
    {"recipe": "video", "content": "sample:clip", "more_steps": 3},
]


@pytest.mark.parametrize("values", BAD_VALUES, ids=str)
def test_bad_value_is_refused_in_one_line(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^Expected [^\n]*$"):
        replace(PLAIN, **values).check()


BAD_SOURCES: list[dict[str, Any]] = [
    {"content": "/etc/passwd"},
    {"content": "../../secret.png"},
    {"content": "http://127.0.0.1/x.png"},
    {"content": "sample:../cat"},
    {"content": "--config=evil.yaml"},
    {"content": "sample:clip"},
    {"recipe": "video"},
    {"styles": (StyleInput("stored"),)},
    {"styles": (StyleInput("sample:clip"),)},
    {"styles": (replace(GLASS, mask="alpha"),)},
    {"styles": (replace(GLASS, region="masks/#3"),)},
]


@pytest.mark.parametrize("values", BAD_SOURCES, ids=str)
def test_only_ids_and_samples_name_pictures(files: UploadStore, tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^Expected [^\n]*$"):
        replace(PLAIN, **values).arguments(files, tmp_path / RUN)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_every_recipe_is_parsed_and_has_the_options(files: UploadStore, tmp_path: Path, recipe: str) -> None:
    content = {"texture": None, "video": "sample:clip"}.get(recipe, "sample:cat")
    uploaded = files.add_picture(Image.new("RGB", (20, 10)))
    painting = Painting(
        content,
        (StyleInput(uploaded, weight=2.0, scale=0.5, region=files.add_mask(Image.new("L", (20, 10), 255))), GLASS),
        recipe=recipe,
        size=48,
        strength=0.25,
        stroke=1.5,
        seed=7,
        threads=1,
        term_factors={"style": 2.0},
    )
    config = TransferCLI(painting.arguments(files, tmp_path / RUN)).config
    assert config.model.losses["style"].init_args.weight == 2 * read_term_weights(recipe)["style"]
    assert config.seed_everything == 7
    assert config.data.content == content
    assert config.data.style[0]["file"] == str(files.path(uploaded).resolve())
    assert config.data.style[0]["weight"] == 2.0
    assert [style["scale"] for style in config.data.style] == [0.75, 1.5]
    assert config.data.plan.size == 48
    assert config.model.strength == 0.25
    assert config.threads == 1
    assert config.trainer.logger.init_args.version == RUN
    recipe_values = yaml.safe_load(packaged_config(recipe).read_text())
    assert set(config.model.losses) == set(recipe_values["model"]["losses"])


def test_arguments_have_no_shell_syntax_and_the_command_quotes_all(files: UploadStore, tmp_path: Path) -> None:
    mask = files.add_mask(Image.new("L", (20, 10), 255))
    painting = replace(PLAIN, styles=(replace(GLASS, mask=mask),))
    words = shlex.split(painting.command(files, tmp_path / RUN))
    assert words[:6] == ["python", "-m", "nst_lightning", "fit", "--config", "transfer"]
    options = read_options(words[6:])
    assert json.loads(options["data.style"])[0]["mask"] == str(files.path(mask).resolve())
    assert options["data.rest"] == "content"
    app = read_options(painting.arguments(files, tmp_path / RUN))
    # The command paints into a run folder of its own.
    assert {name for name in app if name not in options} == {
        "config",
        "trainer.logger.init_args.save_dir",
        "trainer.logger.init_args.name",
        "trainer.logger.init_args.version",
        "trainer.enable_progress_bar",
    }
    assert {name: app[name] for name in options} == options


def test_command_names_the_packaged_recipe_if_the_working_folder_has_another_one(
    files: UploadStore, empty_folder: Path
) -> None:
    (empty_folder / "configs").mkdir()
    (empty_folder / "configs" / "transfer.yaml").write_text("data: {}")
    assert f"--config {packaged_config('transfer').resolve()} " in PLAIN.command(files, empty_folder / RUN)


def test_command_repeats_the_changes_of_a_run(files: UploadStore, tmp_path: Path) -> None:
    folder = tmp_path / RUN
    folder.mkdir()
    assert "--replay" not in PLAIN.command(files, folder)
    (folder / "steering.yaml").write_text("- {step: 1, strength: 0.7}")
    assert PLAIN.command(files, folder).endswith(f"--replay {folder / 'steering.yaml'}")


@pytest.mark.parametrize(
    ("values", "option", "steps"),
    [
        ({"size": 48}, "steps", 47),
        ({"size": 512}, "last_steps", 47),
        ({"size": 512, "recipe": "report"}, "steps", 307),
        ({"size": 512, "recipe": "best"}, "last_steps", 57),
        ({"size": 96, "enlarge": RUN}, "steps", 47),
        ({"size": 400, "enlarge": RUN}, "last_steps", 47),
    ],
)
def test_more_steps_are_added_at_the_last_size(
    files: UploadStore, tmp_path: Path, values: dict[str, Any], option: str, steps: int
) -> None:
    folder = tmp_path / RUN
    folder.mkdir()
    Image.new("RGB", (50, 40)).save(folder / "start.png")
    painting = replace(PLAIN, **values)
    config = TransferCLI([*replace(painting, more_steps=7).arguments(files, folder)]).config
    before = TransferCLI(painting.arguments(files, folder)).config
    assert config.data.plan[option] == steps
    stages, stages_before = (Plan(**c.data.plan).stages() for c in (config, before))
    assert stages[:-1] == stages_before[:-1]
    assert stages[-1] == Stage(0, values["size"], stages_before[-1].steps + 7)


def test_enlargement_takes_nothing_from_the_text_in_the_picture(files: UploadStore, tmp_path: Path) -> None:
    folder = tmp_path / RUN
    folder.mkdir()
    info = PngImagePlugin.PngInfo()
    info.add_text("nst_lightning", "data: {style: /etc/passwd, content: /etc/passwd, colors: luminance}")
    Image.new("RGB", (50, 40)).save(folder / "start.png", pnginfo=info)
    config = TransferCLI(replace(PLAIN, enlarge=RUN, size=96).arguments(files, folder)).config
    assert "passwd" not in str(config)
    assert config.data.content == config.model.initialization == str(folder / "start.png")
    assert config.data.colors == "style"


def test_painting_survives_json_and_keys_of_another_version() -> None:
    painting = replace(PLAIN, styles=(replace(GLASS, mask="sample:cat_mask"), GLASS), start=RUN, threads=2)
    values = json.loads(json.dumps(painting.to_dict()))
    values["added"] = values["styles"][0]["added"] = 1
    assert Painting.from_dict(values) == painting


def test_resolved_yaml_is_the_configuration_of_the_command(files: UploadStore, tmp_path: Path) -> None:
    folder = tmp_path / RUN
    config = yaml.safe_load(replace(PLAIN, size=48).resolved_yaml(files, folder))
    assert config["data"]["plan"]["size"] == 48
    folder.mkdir()
    (folder / "config.yaml").write_text("data: {}\n")
    assert PLAIN.resolved_yaml(files, folder) == "data: {}\n"
