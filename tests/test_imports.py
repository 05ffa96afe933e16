"""Imports run downward only: the table of the rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nst_lightning"

# What each room may import of ours, besides itself and `errors` and `version`, which all may.
ALLOWED: dict[str, set[str]] = {
    "__init__": {"api", "backbones", "data", "losses", "module", "plan"},
    "__main__": {"benchmark", "distill", "fit", "pages", "samples", "study", "video"},
    "api": {
        "backbones",
        "budget",
        "callbacks",
        "data",
        "image",
        "losses",
        "memory",
        "module",
        "plan",
        "precision",
        "quiet",
        "samples",
    },
    "backbones": {"features"},
    "benchmark": {
        "backbones",
        "data",
        "fit",
        "image",
        "losses",
        "memory",
        "module",
        "pages",
        "parsing",
        "plan",
        "precision",
        "samples",
    },
    "budget": {"data", "losses.base", "memory", "module", "plan", "precision"},
    "callbacks": {"film", "image", "optim", "plan", "progress", "video"},
    "cli": {
        "backbones",
        "budget",
        "callbacks",
        "data",
        "film",
        "image",
        "losses",
        "module",
        "parsing",
        "precision",
        "progress",
        "recording",
        "trainer",
    },
    "comparison": {"moments"},
    "data": {"image", "plan", "samples"},
    "distill": {"backbones", "functional", "moments", "parsing", "quiet"},
    "errors": set(),
    "film": {"data", "plan", "samples", "video"},
    "fit": {"cli", "quiet"},
    "features": {"comparison", "moments"},
    "functional": set(),
    "image": set(),
    "initialization": {"image", "plan", "samples"},
    "losses": {"comparison", "features", "functional", "moments", "transport"},
    "memory": set(),
    "module": {
        "backbones.base",
        "data",
        "initialization",
        "losses.base",
        "objective",
        "optim",
        "plan",
        "progress",
        "recording",
    },
    "moments": set(),
    "objective": {"backbones.base", "data", "features", "losses.base"},
    "optim": set(),
    "pages": set(),
    "parsing": set(),
    "plan": set(),
    "precision": set(),
    "progress": {"plan"},
    "recording": set(),
    "quiet": set(),
    "samples": set(),
    "study": {
        "api",
        "backbones",
        "budget",
        "callbacks",
        "cli",
        "data",
        "features",
        "image",
        "losses",
        "memory",
        "module",
        "objective",
        "parsing",
        "plan",
        "precision",
        "progress",
        "quiet",
        "samples",
        "video",
    },
    "trainer": set(),
    "transport": set(),
    "version": set(),
    "video": {"functional", "image", "parsing", "plan", "samples"},
}
WITH_LIGHTNING = {
    "api",
    "benchmark",
    "callbacks",
    "cli",
    "data",
    "distill",
    "fit",
    "module",
    "parsing",
    "progress",
    "study",
}

FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, allowed: set[str]) -> bool:
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    allowed = ALLOWED[room(path)] | {room(path), "errors", "version"}
    ours = [name.removeprefix("nst_lightning.") for name in imports(path) if name.startswith("nst_lightning.")]
    assert not [name for name in ours if not within(name, allowed)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_lightning_is_imported_in_its_rooms_alone(path: Path) -> None:
    uses = any(within(name, {"lightning"}) for name in imports(path))
    assert not uses or room(path) in WITH_LIGHTNING


def test_the_table_names_the_rooms_there_are() -> None:
    assert {room(path) for path in FILES} == set(ALLOWED)
