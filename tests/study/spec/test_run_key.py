"""Keys of runs do not change between versions, so that finished runs are recognized."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from nst_lightning.study.spec.folder_study import create_folder_study
from nst_lightning.study.spec.resolve import Configuration, ConfigurationResolver
from nst_lightning.study.spec.run_key import folder_run_key, input_files, run_key
from nst_lightning.study.spec.study_files import read_study
from nst_lightning.study.spec.study_resolver import StudyResolver
from tests.helpers import TRANSFER

FIRST_DEFAULT_OPTIMIZER = "nst_lightning.module.lbfgs"


COMPACT_LBFGS = {"class_path": "nst_lightning.optim.CompactLBFGS", "init_args": {"history_size": 10}}


pytestmark = pytest.mark.usefixtures("empty_folder")


def replace(configuration: Configuration, **model: Any) -> Configuration:
    return configuration | {"model": configuration["model"] | model}


@pytest.mark.parametrize(
    ("optimizer", "key"), [(COMPACT_LBFGS, "75870be9c466fd17"), (FIRST_DEFAULT_OPTIMIZER, "1efbf2400570de8e")]
)
def test_run_key_equals_that_of_version_0_1(optimizer: Any, key: str) -> None:
    Path("content.png").write_bytes(b"content")
    content = {"class_path": "nst_lightning.ContentLoss", "init_args": {"layers": ["conv_3"]}}
    configuration = {
        "seed_everything": 92,
        "output": "out.png",
        "data": {"content": "content.png", "style": ["sample:none", "missing.png"]},
        "model": {"initialization": "content", "optimizer": optimizer, "losses": {"content": content}},
        "trainer": {"precision": "32-true", "logger": None},
    }
    assert run_key(configuration) == key


def test_run_key_contains_the_first_path_of_the_default_optimizer() -> None:
    recipe = yaml.safe_load(Path(TRANSFER).read_text())
    del recipe["model"]["optimizer"]
    Path("config.yaml").write_text(yaml.safe_dump(recipe))
    configuration = ConfigurationResolver().resolve([Path("config.yaml")], {})
    assert run_key(configuration) == run_key(replace(configuration, optimizer=FIRST_DEFAULT_OPTIMIZER))


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("nst_lightning.WassersteinLoss", "nst_lightning.losses.WassersteinLoss"),
        ("nst_lightning.SlicedWassersteinLoss", "nst_lightning.losses.SlicedWassersteinLoss"),
        ("nst_lightning.DisocclusionGramLoss", "nst_lightning.RevealedGramLoss"),
    ],
)
def test_run_key_contains_the_first_path_of_a_renamed_class(now: str, first: str) -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {"model.losses.style.class_path": now})
    losses = configuration["model"]["losses"]
    style = losses["style"]
    assert style["class_path"] == now
    old = replace(configuration, losses=losses | {"style": style | {"class_path": first}})
    assert run_key(configuration) == run_key(old)
    assert run_key(configuration) != run_key(replace(configuration, losses=losses | {"style": losses["content"]}))


@pytest.mark.parametrize("threads", ["auto", 1, 2])
def test_run_key_does_not_contain_the_number_of_threads(threads: Any) -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {"threads": threads})
    assert configuration["threads"] == threads
    before = {name: value for name, value in configuration.items() if name != "threads"}
    assert run_key(configuration) == run_key(before)
    assert folder_run_key(configuration) == folder_run_key(before)


@pytest.mark.parametrize("given", ["imagenet", "oxford", None])
def test_run_key_contains_the_first_name_of_a_renamed_option(given: str | None) -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {"model.backbone": "VGG19"})
    backbone = configuration["model"]["backbone"]
    rest = {name: value for name, value in backbone["init_args"].items() if name not in {"flavor", "preprocessing"}}
    now = backbone | {"init_args": rest | {"flavor": None, "preprocessing": given}}
    first = backbone | {"init_args": rest | {"flavor": given}}
    assert run_key(replace(configuration, backbone=now)) == run_key(replace(configuration, backbone=first))


def test_run_key_does_not_contain_a_newer_option_at_its_default() -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {})
    losses = configuration["model"]["losses"]
    content = losses["content"]
    assert content["init_args"]["normalized"] is False

    def key(**normalized: bool) -> str:
        init_args = {name: value for name, value in content["init_args"].items() if name != "normalized"} | normalized
        return run_key(replace(configuration, losses=losses | {"content": content | {"init_args": init_args}}))

    assert key() == key(normalized=False) == run_key(configuration)
    assert key() != key(normalized=True)


@pytest.mark.parametrize(
    ("group", "name", "other"), [("model", "strength", 0.25), ("model", "tileable", True), ("plan", "tolerance", 0.01)]
)
def test_run_key_contains_a_later_option_only_if_it_is_set(group: str, name: str, other: float) -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {})

    def options(of: Configuration) -> Configuration:
        found: Configuration = of["model"] if group == "model" else of["data"]["plan"]
        return found

    first, changed = copy.deepcopy(configuration), copy.deepcopy(configuration)
    del options(first)[name]
    options(changed)[name] = other
    assert run_key(configuration) == run_key(first)
    assert run_key(configuration) != run_key(changed)


def test_resolved_classes_have_the_paths_of_run_keys() -> None:
    model = ConfigurationResolver().resolve([Path(TRANSFER)], {})["model"]
    assert model["backbone"]["class_path"] == "nst_lightning.SlimVGG19"
    assert {name: term["class_path"] for name, term in model["losses"].items()} == {
        "content": "nst_lightning.ContentLoss",
        "style": "nst_lightning.GramLoss",
        "smooth": "nst_lightning.TotalVariationLoss",
    }
    assert model["optimizer"]["class_path"] == "nst_lightning.optim.CompactLBFGS"


def test_folder_run_key_equals_that_of_the_first_recipe() -> None:
    for name in ("content.png", "style.png"):
        Path(name).write_bytes(name.encode())

    def resolve(**model: Any) -> Configuration:
        study = read_study([])
        study.model = model or None
        (run,) = StudyResolver([Path()]).resolve(create_folder_study(study, "content.png", "style.png")).runs
        return run.configuration

    first = replace(resolve(), optimizer=FIRST_DEFAULT_OPTIMIZER) | {"seed_everything": 0}
    assert folder_run_key(resolve()) == run_key(first)
    # Noise depends on the seed: with the first recipe, whose seed was 0, it is another run.
    noise = resolve(initialization="noise")
    assert folder_run_key(noise) == run_key(noise)


def test_run_key_contains_later_options_only_where_they_differ() -> None:
    # The recipe as it was before these options existed, and its key then.
    flat = {"data.plan.ladder": "none", "data.plan.first_steps": None, "data.plan.steps": 300}
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], flat | {"model.backbone.padding": "zeros"})
    # The options of the Trainer, and so the whole key, depend on the version of Lightning.
    assert run_key(configuration | {"trainer": {"max_steps": -1}}) == "158df2ca80dc79b6"
    before = copy.deepcopy(configuration)
    for name in ("style_match", "style_rotation", "palette", "colors", "color_strength"):
        del before["data"][name]
    assert run_key(before) == run_key(configuration)
    changes: list[dict[str, Any]] = [{"style_match": "area"}, {"style_rotation": 90}, {"style_scale": [0.5, 1.0]}]
    changes += [{"colors": "match"}, {"colors": "match", "color_strength": 0.5}]
    changes += [{"palette": configuration["data"]["palette"] | {name: 0.5}} for name in ("start", "result")]
    keys = {run_key(configuration | {"data": configuration["data"] | change}) for change in changes}
    assert len({*keys, run_key(configuration)}) == 1 + len(changes)


def test_run_key_follows_the_files_of_styles_with_options() -> None:
    Path("style.png").write_bytes(b"first")
    configuration = ConfigurationResolver().resolve(
        [Path(TRANSFER)], {"data.style": ["sample:waves", {"file": "style.png", "scale": 0.5}]}
    )
    assert input_files(configuration) == {"sample:harbour", "sample:waves", "style.png"}
    first = run_key(configuration)
    Path("style.png").write_bytes(b"second")
    assert run_key(configuration) != first
    single = configuration | {"data": configuration["data"] | {"style": {"file": "style.png"}}}
    assert input_files(single) == {"sample:harbour", "style.png"}


def test_run_key_follows_the_files_of_masks() -> None:
    files = ["style.png", "mask.png", "region.png", "seg.png", "hold.png"]
    for name in files:
        Path(name).write_bytes(b"first")
    styles = [
        {"file": "style.png", "mask": "mask.png", "region": "region.png"},
        {"file": "style.png", "mask": "seg.png#3"},
    ]
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {"data.style": styles, "data.hold": "hold.png"})
    assert input_files(configuration) == {"sample:harbour", *files}
    keys = {run_key(configuration)}
    for name in files[1:]:
        Path(name).write_bytes(b"second")
        keys.add(run_key(configuration))
    assert len(keys) == len(files)


def test_run_key_contains_options_of_masks_only_if_they_are_set() -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {})
    data = configuration["data"]
    changes = {
        "content_map": "a.png",
        "rest": "content",
        "hold": "a.png",
        "hold_weight": 2.0,
        "style_strength": "a.png",
    }
    changes["move_masks"] = True
    before = {name: value for name, value in data.items() if name not in changes}
    assert run_key(configuration | {"data": before}) == run_key(configuration)
    keys = {run_key(configuration | {"data": data | {name: value}}) for name, value in changes.items()}
    assert len({*keys, run_key(configuration)}) == 1 + len(changes)


def test_run_key_contains_the_depth_only_if_it_is_not_8_and_never_the_limit_of_pixels() -> None:
    configuration = ConfigurationResolver().resolve([Path(TRANSFER)], {})
    before = {name: value for name, value in configuration.items() if name not in ("depth", "max_pixels")}
    assert run_key(configuration) == run_key(before)
    assert run_key(configuration | {"max_pixels": 1e9}) == run_key(before)
    # A finished run with files of 8 bits is painted again.
    assert run_key(configuration | {"depth": 16}) != run_key(before)
