"""The JSON Schema of recipes and studies: it accepts what the commands accept, and finds mistakes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from nst_lightning import backbones, losses
from nst_lightning.__main__ import main
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.suggestions.fit_schema import describe_fit
from nst_lightning.suggestions.study_schema import describe_study
from tests.helpers import CONFIGS, PACKAGE, find_blocks

SCHEMAS = CONFIGS / "schema"
RECIPES = [path for path in sorted(CONFIGS.rglob("*.yaml")) if path.stem != "distill"]
READMES = [CONFIGS / "README.md", *sorted(PACKAGE.rglob("README.md"))]
BLOCKS = [block for path in READMES for block in find_blocks(path.read_text(), "yaml")]


@pytest.fixture(scope="module")
def fit() -> dict[str, Any]:
    return describe_fit()


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return describe_study()


def find_errors(schema: dict[str, Any], text: str) -> list[str]:
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_first_line_of_a_recipe_names_a_schema_that_accepts_it(recipe: Path) -> None:
    text = recipe.read_text()
    match = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert match is not None
    schema = (recipe.parent / match[1]).resolve()
    assert schema == SCHEMAS / ("study.json" if recipe.stem == "assignment" else "fit.json")
    assert find_errors(json.loads(schema.read_text()), text) == []


@pytest.mark.parametrize("name", ["best", "wasserstein", "video", "texture"])
def test_complete_configuration_is_valid(name: str, fit: dict[str, Any]) -> None:
    cli = TransferCLI([f"--config={CONFIGS / name}.yaml"])
    assert find_errors(fit, cli.parser.dump(cli.config)) == []


@pytest.mark.parametrize("block", BLOCKS)
def test_yaml_of_the_readmes_is_valid(block: str, fit: dict[str, Any], study: dict[str, Any]) -> None:
    keys = set(yaml.safe_load(block))
    if keys & {"sections", "axes"}:
        whole = block if "sections" in keys else f"sections:\n- title: a\n  {block.replace(chr(10), chr(10) + '  ')}"
        assert find_errors(study, whole) == []
    else:
        assert find_errors(fit, block) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "data: {plan.size: 64}",
        "data.plan.size: 64",
        "model: {backbone: VGG19}",
        "model: {backbone: {init_args: {padding: replicate}}}",
        "model: {backbone: {class_path: another.package.Network, init_args: {depth: 3}}}",
        "model: {losses: {style: {class_path: nst_lightning.losses.GramLoss}}}",
        "model: {losses: {style: {init_args: {weight: 10}}}}",
        "model: {optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.1}}}",
        "model: {optimizer: nst_lightning.training.module.lbfgs}",
        "data: {style: [sample:glass, {file: painting.jpg, weight: 2, mask: mask.png}]}",
        "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitor: loss}}], logger: false}",
        "trainer: {callbacks: {class_path: another.package.Callback}}",
    ],
)
def test_schema_accepts(text: str, fit: dict[str, Any]) -> None:
    assert find_errors(fit, text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("date: {}", "$"),
        ("data: {plan: {sizes: 64}}", "$.data.plan"),
        ("data: {plan: {size: large}}", "$.data.plan.size"),
        ("data: {plan: {ladder: octave}}", "$.data.plan.ladder"),
        ("data: {style: {fill: painting.jpg}}", "$.data.style"),
        ("model: {losses: {style: {class_path: GramLos}}}", "$.model.losses.style"),
        ("model: {losses: {style: {class_path: nst_lightning.GramLos}}}", "$.model.losses.style"),
        ("model: {losses: {style: {class_path: GramLoss, init_args: {weigth: 1}}}}", "$.model.losses.style"),
        ("model: {optimizer: {class_path: torch.optim.Adam, init_args: {ls: 1}}}", "$.model.optimizer"),
        ("trainer: {max_epochs: 3}", "$.trainer"),
        ("trainer: {precision: 64-true}", "$.trainer.precision"),
        ("trainer: {callbacks: [{class_path: ImageAveraging, init_args: {decai: 1}}]}", "$.trainer.callbacks"),
    ],
)
def test_schema_finds_a_mistake(text: str, path: str, fit: dict[str, Any]) -> None:
    assert find_errors(fit, text) == [path]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("tittle: a", "$"),
        ("sections: [{title: a, colums: b}]", "$.sections[0]"),
        ("sections: [{title: a, data: {plan: {sise: 3}}}]", "$.sections[0].data"),
        ("sections: [{title: a, axes: {seed_everything: 3}}]", "$.sections[0].axes.seed_everything"),
        ("sections: [{title: a, axes: {start: {noise: 3}}}]", "$.sections[0].axes.start"),
    ],
)
def test_schema_of_a_study_finds_a_mistake(text: str, path: str, study: dict[str, Any]) -> None:
    assert find_errors(study, text) == [path]


def test_schema_names_every_public_loss_and_network(fit: dict[str, Any]) -> None:
    for definition, names in (("Loss", losses.__all__), ("Backbone", backbones.__all__)):
        enumerated = [option["enum"] for option in fit["$defs"][definition]["anyOf"] if "enum" in option]
        assert {name for group in enumerated for name in group if "." not in name} == set(names) - {
            "Loss",
            "FeatureLoss",
            "Backbone",
        }


@pytest.mark.parametrize("name", ["fit", "study"])
def test_schema_has_no_reference_to_a_missing_definition(name: str) -> None:
    text = (SCHEMAS / f"{name}.json").read_text()
    named = set(re.findall(r'"#/\$defs/(\w+)"', text))
    assert named
    assert named <= set(json.loads(text)["$defs"])


def list_properties(node: Any, prefix: str = "") -> Iterator[str]:
    """Lists the names of properties and the choices, without the classes of torch and Lightning."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "enum":
                yield f"{prefix}={value}"
            elif key not in ("trainer", "Optimizer", "Logger"):
                yield f"{prefix}.{key}"
                yield from list_properties(value, f"{prefix}.{key}")
    elif isinstance(node, list):
        for item in node:
            yield from list_properties(item, prefix)


def test_shipped_schemas_are_up_to_date(fit: dict[str, Any], study: dict[str, Any]) -> None:
    # After a change: python -m nst_lightning schema --command NAME --output configs/schema/NAME.json
    for name, schema in (("fit", fit), ("study", study)):
        shipped = json.loads((SCHEMAS / f"{name}.json").read_text())
        assert sorted(set(list_properties(shipped))) == sorted(set(list_properties(schema)))


def test_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str], study: dict[str, Any]) -> None:
    assert main(["schema", "--command=study"]) == 0
    assert json.loads(capsys.readouterr().out) == study
    assert main(["schema", f"--output={tmp_path / 'fit.json'}"]) == 0
    assert capsys.readouterr().out == ""
    assert "trainer" in json.loads((tmp_path / "fit.json").read_text())["properties"]


def test_command_rejects_another_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--command=distill"]) == 2
    assert "distill" in capsys.readouterr().err
