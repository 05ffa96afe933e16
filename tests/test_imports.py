"""Imports go downward only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import PACKAGE

# Imports of each folder, or module at the root, within the package, from the lowest layer to the highest. Everything
# may import `errors` and `version`. An entry names exactly the entries that its code imports, all of them above it.
LAYERS: dict[str, set[str]] = {
    "commands": set(),  # names modules, which it imports when their command runs
    "system": set(),
    "functional": set(),
    "images": {"functional", "system"},
    "optim": {"functional"},
    "video": {"functional", "images"},
    "samples": {"images", "video"},
    "backbones": {"functional"},
    "losses": {"backbones", "functional"},
    "data": {"functional", "images", "samples", "video"},
    "training": {"backbones", "data", "functional", "images", "losses", "optim", "samples", "system"},
    "callbacks": {"data", "images", "losses", "system", "training", "video"},
    "cli": {"backbones", "callbacks", "data", "images", "losses", "samples", "system", "training", "video"},
    "api": {"backbones", "callbacks", "cli", "data", "functional", "images", "losses", "system", "training"},
    "study": {
        "backbones",
        "callbacks",
        "cli",
        "data",
        "images",
        "losses",
        "samples",
        "system",
        "training",
        "video",
    },
    "distill": {"backbones", "cli", "functional", "images", "training"},
    "benchmark": {"backbones", "callbacks", "cli", "data", "images", "losses", "samples", "system", "training"},
    "app": {"callbacks", "cli", "data", "images", "samples", "system", "training", "video"},
    "suggestions": {
        "backbones",
        "callbacks",
        "cli",
        "commands",
        "data",
        "images",
        "losses",
        "optim",
        "samples",
        "study",
        "system",
    },
    "__main__": {"commands", "system"},
    "__init__": {"api", "backbones", "data", "losses", "training"},
}

# The folders that need Lightning; everything else is plain PyTorch and works without it.
WITH_LIGHTNING = {"api", "benchmark", "callbacks", "cli", "data", "distill", "study", "suggestions", "training"}

FREE = {"errors", "version"}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def list_imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "nst_lightning":
            yield from (f"nst_lightning.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def list_imported_layers(name: str) -> set[str]:
    modules = [module for path in FILES if layer_of(path) == name for module in list_imported_modules(path)]
    # The table of public names imports lazily, by string.
    text = "".join(path.read_text() for path in FILES if layer_of(path) == name and name.startswith("__"))
    modules += re.findall(r'"(nst_lightning\.[\w.]+)(?=[":])', text)
    return {module.split(".")[1] for module in modules if module.startswith("nst_lightning.")} - FREE - {name}


@pytest.mark.parametrize("name", list(LAYERS))
def test_layer_imports_exactly_what_the_table_permits(name: str) -> None:
    assert list_imported_layers(name) == LAYERS[name]


@pytest.mark.parametrize("name", list(LAYERS))
def test_layer_table_permits_only_lower_layers(name: str) -> None:
    lower = list(LAYERS)[: list(LAYERS).index(name)]
    assert LAYERS[name] <= set(lower)


def test_layer_table_names_every_layer() -> None:
    assert {layer_of(path) for path in FILES} == {*LAYERS, *FREE}


def test_lightning_is_imported_by_exactly_these_layers() -> None:
    users = {
        layer_of(path)
        for path in FILES
        if any(name.split(".")[0] == "lightning" for name in list_imported_modules(path))
    }
    assert users == WITH_LIGHTNING


def test_package_root_has_at_most_eight_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8
