"""A name has one meaning: no two files, classes, constants or public functions of the package share one."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nst_lightning"
FILES = sorted(PACKAGE.rglob("*.py"))

# Names that mean the same wherever they occur.
SHARED = {
    "__init__": "the public names of a folder",
    "__all__": "the public names of a folder",
    "base": "the interface that the classes of its folder implement",
    "command": "the command of its folder, with its function `main`",
    "main": "runs the command of its file",
    "gram": "Gram matrices: the formulas, and the loss that uses them",
    "wasserstein": "Wasserstein distances: the formulas, and the losses that use them",
}


def names_of_files() -> Iterator[tuple[str, Path]]:
    yield from ((path.stem, path) for path in FILES)
    folders = {path.parent for path in FILES} - {PACKAGE}
    yield from ((folder.name, folder) for folder in sorted(folders))


def names_of_classes() -> Iterator[tuple[str, Path]]:
    for path in FILES:
        nodes = ast.walk(ast.parse(path.read_text()))
        yield from ((node.name, path) for node in nodes if isinstance(node, ast.ClassDef))


def names_of_constants() -> Iterator[tuple[str, Path]]:
    """Names that a module assigns. Each drawing is a script of its own, with a width, a height and colors."""
    for path in FILES:
        for node in ast.parse(path.read_text()).body if "drawing" not in path.parts else ():
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                elements = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from ((name.id, path) for name in elements if isinstance(name, ast.Name))


def names_of_public_functions() -> Iterator[tuple[str, Path]]:
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield node.name, path


def group(pairs: Iterator[tuple[str, Path]]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for name, path in pairs:
        places[name].append(str(path.relative_to(PACKAGE)))
    return places


KINDS = {
    "file": names_of_files,
    "class": names_of_classes,
    "constant": names_of_constants,
    "function": names_of_public_functions,
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_name_has_two_places(kind: str) -> None:
    found = group(KINDS[kind]())
    assert found
    assert {name: places for name, places in found.items() if len(places) > 1 and name not in SHARED} == {}


def test_every_permission_to_share_a_name_is_used() -> None:
    shared = {name for names in KINDS.values() for name, places in group(names()).items() if len(places) > 1}
    assert set(SHARED) <= shared
