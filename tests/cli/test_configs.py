import shutil
from pathlib import Path
from typing import Any

import pytest

from nst_lightning.cli.configs import PACKAGED_CONFIGS, find_config, packaged_config
from nst_lightning.cli.parser import Parser
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.errors import InputError, UsageError
from nst_lightning.study.spec.study_files import read_study
from nst_lightning.study.spec.study_resolver import StudyResolver

pytestmark = pytest.mark.usefixtures("empty_folder")


def write_config(path: str, seed: int = 7) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f"seed_everything: {seed}\n")
    return Path(path)


def parse(*args: str) -> Any:
    return TransferCLI([*args]).config


@pytest.mark.parametrize("name", ["best", "best.yaml", "configs/best", "configs/best.yaml"])
def test_find_config_finds_a_packaged_file_by_name(name: str) -> None:
    assert find_config(name) == PACKAGED_CONFIGS / "best.yaml"


@pytest.mark.parametrize("name", ["backbones/vgg19", "backbones/vgg19.yaml", "configs/backbones/vgg19.yaml"])
def test_find_config_accepts_a_name_with_a_folder(name: str) -> None:
    assert find_config(name) == PACKAGED_CONFIGS / "backbones" / "vgg19.yaml"


def test_find_config_prefers_configs_of_the_working_folder() -> None:
    local = write_config("configs/best.yaml")
    assert [find_config(name) for name in ("best", "best.yaml", "configs/best.yaml")] == [local] * 3
    assert find_config("transfer") == PACKAGED_CONFIGS / "transfer.yaml"
    assert packaged_config("best") == PACKAGED_CONFIGS / "best.yaml"


def test_find_config_prefers_an_existing_path() -> None:
    write_config("configs/best.yaml")
    assert find_config(str(write_config("best.yaml"))) == Path("best.yaml")
    absolute = write_config("elsewhere/mine.yml").resolve()
    assert find_config(str(absolute)) == absolute


def test_find_config_ignores_folders() -> None:
    Path("best").mkdir()
    assert find_config("best") == PACKAGED_CONFIGS / "best.yaml"


@pytest.mark.parametrize("name", ["bset", "", "../configs/best", "/best", "backbones", "configs/nothing.yaml"])
def test_find_config_lists_the_names_for_an_unknown_one(name: str) -> None:
    write_config("configs/mine.yaml")
    with pytest.raises(InputError, match=r"^Expected .* one of assignment, backbones/vgg19, best, .*") as caught:
        find_config(name)
    assert ", mine, " in str(caught.value)
    assert str(caught.value).endswith(f"but got {name!r}.")
    assert "\n" not in str(caught.value)


def test_find_config_does_not_replace_a_path_in_an_existing_folder() -> None:
    write_config("configs/mine.yaml")
    with pytest.raises(InputError, match=r"configs/best\.yaml"):
        find_config("configs/best.yaml")


@pytest.mark.parametrize("args", [("--config", "texture"), ("--config=texture",), ("-c", "texture.yaml")])
def test_config_option_accepts_a_name(args: tuple[str, ...]) -> None:
    config = parse(*args, "--config", "backbones/vgg19", "--data.plan.size=99")
    assert config.model.backbone.class_path.endswith("VGG19")
    assert config.data.plan.size == 99
    assert config.trainer.logger.init_args.name == "texture"


def test_config_option_accepts_yaml() -> None:
    assert parse("--config=texture", "--config", "{seed_everything: 3}").seed_everything == 3


def test_config_option_rejects_an_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"one of assignment, .*, but got 'bset'"):
        parse("--config", "bset")


def test_config_option_of_other_commands_accepts_a_name() -> None:
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

    parser = Parser()
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_argument("--seed_everything", type=int)
    write_config("configs/mine.yaml", seed=11)
    assert parser.parse_args(["--config=mine"]).seed_everything == 11


def test_study_finds_configurations_next_to_it_or_by_name() -> None:
    study = read_study([find_config("assignment")])
    del study.sections[1:]
    packaged = StudyResolver([Path(), PACKAGED_CONFIGS]).resolve(study).runs
    assert len(packaged) == 4
    study.sections[0].config = "reconstruct"
    assert [run.key for run in StudyResolver([Path()]).resolve(study).runs] == [run.key for run in packaged]
    Path("mine").mkdir()
    shutil.copy(PACKAGED_CONFIGS / "texture.yaml", "mine/reconstruct.yaml")
    study.sections[0].config, study.sections[0].axes = "reconstruct.yaml", {"seed_everything": [1]}
    (run,) = StudyResolver([Path(), Path("mine")]).resolve(study).runs
    assert list(run.configuration["model"]["losses"]) == ["style"]
