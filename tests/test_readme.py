"""The README files are correct: commands run, names exist, links resolve, the map shows the folders that exist."""

import json
import os
import re
import shutil
import tomllib
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from nst_lightning import backbones, callbacks, losses
from nst_lightning.__main__ import main
from nst_lightning.images.io import write_image
from nst_lightning.samples import locate
from tests.helpers import (
    CONFIGS,
    PACKAGE,
    QUICK,
    QUICK_FILM,
    ROOT,
    TRANSFER,
    TRANSFER_TERMS,
    find_blocks,
    find_commands,
    smooth_image,
)
from tests.test_imports import LAYERS

READMES = [ROOT / "README.md", *sorted(ROOT.glob("configs/**/README.md")), *sorted(PACKAGE.rglob("README.md"))]
TEXTS = {path: path.read_text() for path in READMES}
README = TEXTS[ROOT / "README.md"]
MAP = TEXTS[PACKAGE / "README.md"]

# Addresses of the files of the project: the package index shows the README without them.
ADDRESSES = r"https://(github\.com/nst-lightning/nst_lightning/blob|raw\.githubusercontent\.com/nst-lightning/nst_lightning)/main/"

# Options that need a network or a GPU, and options that the quick options below replace.
SLOW = {
    "fit": ("--trainer.accelerator", "--model.cuda_graphs", "--data.first", "--data.last", "--data.stride"),
    "study": ("--size", "--engine", "--ray.address", "--ray.gpus_per_run"),
}


def drop_options(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Returns a command without some options and their values."""
    kept, is_dropping = [], False
    for word in words:
        if word.startswith("--"):
            is_dropping = word.split("=")[0] in options
        if not is_dropping:
            kept.append(word)
    return kept


OURS = list(
    dict.fromkeys(
        tuple(drop_options(words[3:], SLOW.get(words[3], ())))
        for text in TEXTS.values()
        for words in find_commands(text)
        if words[:3] == ["python", "-m", "nst_lightning"] and words[3] not in ("app", "benchmark")
    )
)
SWEEPS = [block for text in TEXTS.values() for block in find_blocks(text, "yaml") if block.startswith("title:")]
YAML = [block for text in TEXTS.values() for block in find_blocks(text, "yaml") if not block.startswith("title:")]
PYTHON = [block for text in TEXTS.values() for block in find_blocks(text, "python")]


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with small files under the names that the commands use."""
    monkeypatch.chdir(tmp_path)
    write_image("photo.jpg", smooth_image(40, 50))
    write_image("painting.jpg", smooth_image(45, 35, seed=1))
    write_image("drawing.jpg", smooth_image(45, 35, seed=2))
    write_image("draft.png", smooth_image(40, 50, seed=2))
    Image.linear_gradient("L").rotate(90).resize((768, 512)).save("ramp.png")
    write_image("small.png", smooth_image(20, 25), config="data: {content: photo.jpg, style: painting.jpg}")
    for name in ("coarse.jpg", "fine.jpg", "strokes.png"):
        write_image(name, smooth_image(30, 40, seed=3))
    for name, picture in (("photos", "photo.jpg"), ("paintings", "painting.jpg")):
        (tmp_path / name).mkdir()
        shutil.copy(picture, name)
    for film in ("clip.mp4", "film.mp4"):
        shutil.copy(locate("sample:clip"), film)
    (tmp_path / "sweep.yaml").write_text(SWEEPS[0] if SWEEPS else "")
    return tmp_path


def write_live(folder: Path) -> None:
    """Writes the status of a run that is painting in this process."""
    folder.mkdir(parents=True)
    weights = dict.fromkeys(TRANSFER_TERMS, 1.0)
    status = {"state": "painting", "pid": os.getpid(), "weights": weights, "style_weights": [1.0]}
    (folder / "live.json").write_text(json.dumps(status))


def choose_quick_options(args: list[str]) -> list[str]:
    """Returns options that make a command fast and keep it from downloading."""
    configs = [value for option, value in pairwise(args) if option == "--config"]
    has_vgg19 = any("vgg19" in config for config in configs)
    if args[0] == "fit":
        film = QUICK_FILM if any("video" in config for config in configs) else []
        return [*QUICK, *film, *(["--model.backbone.weights=random"] if has_vgg19 else [])]
    if args[0] == "study":
        short: dict[str, Any] = {"trainer": {"max_steps": 2}}
        if has_vgg19:
            short["model"] = {"backbone": {"class_path": "VGG19", "init_args": {"weights": "random"}}}
        Path("short.yaml").write_text(yaml.safe_dump(short))
        return ["--config=short.yaml", "--size=32"]
    return []


def run_command(args: list[str]) -> None:
    """Runs a command; ``--print_config`` ends it with SystemExit."""
    if "--print_config" in args:
        with pytest.raises(SystemExit, match="0"):
            main(args)
    else:
        assert main(args) == 0


# The setup commands


def test_readme_begins_with_the_two_setup_commands() -> None:
    first, second, *_ = find_blocks(README, "bash")
    assert first == "pip install . && python -m nst_lightning fit --config configs/transfer.yaml\n"
    assert second == 'pip install -e ".[dev]" && pytest\n'
    assert (
        "\nInstall and run the tests:\n\n```bash\npip install -e" in README
    )  # `.ci/run` reads the command below this line


def test_readme_programs_are_installed() -> None:
    names = {words[0] for text in TEXTS.values() for words in find_commands(text)} - {"pip", "python"}
    assert {"pytest", "tensorboard"} <= names
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = " ".join(project["dependencies"] + project["optional-dependencies"]["dev"])
    assert all(name in needed for name in names)


# The commands


@pytest.mark.parametrize("command", OURS, ids=" ".join)
def test_readme_command_runs(command: tuple[str, ...], working_folder: Path) -> None:
    if any("configs/" in word for word in command):
        (working_folder / "configs").symlink_to(CONFIGS)
    args = ["dis" if word == "raft" else word for word in command]
    quick = choose_quick_options(args)
    if args[0] == "steer":
        write_live(Path(args[1]))
    if "--replay" in args:
        recorded = Path(args[args.index("--replay") + 1])
        recorded.parent.mkdir(parents=True)
        recorded.write_text("[{step: 1, strength: 0.7}]")
    if "--ckpt_path" in args:
        run_command([*drop_options(args, ("--ckpt_path",)), *quick])  # the run that is resumed
    run_command([*args, *quick])


def test_readme_benchmark_command_is_only_in_the_folder_whose_tests_run_it() -> None:
    # `tests/benchmark/test_command.py` runs that command and checks its results.
    users = [path for path, text in TEXTS.items() if any("benchmark" in words for words in find_commands(text))]
    assert users == [PACKAGE / "benchmark" / "README.md"]


def test_readme_sweep_has_ten_lines_and_paints_six_runs(working_folder: Path) -> None:
    assert len(SWEEPS) == 1
    assert len(SWEEPS[0].splitlines()) == 10
    (working_folder / "configs").symlink_to(CONFIGS)
    Path("short.yaml").write_text("{trainer: {max_steps: 2}, data: {plan: {steps: 200}}}")
    assert main(["study", "--config=sweep.yaml", "--config=short.yaml", "--size=32", "--output=out"]) == 0
    assert len(list(Path("out/runs").iterdir())) == 6


@pytest.mark.parametrize("block", [block for block in YAML if set(yaml.safe_load(block)) <= {"model", "trainer"}])
def test_readme_yaml_example_overrides_a_recipe(block: str, working_folder: Path) -> None:
    Path("example.yaml").write_text(block)
    recipe = TRANSFER
    random = ["--model.backbone.weights=random"] if "VGG1" in block else []
    assert main(["fit", f"--config={recipe}", "--config=example.yaml", *QUICK, *random]) == 0


@pytest.mark.parametrize("example", PYTHON)
# Warnings that Lightning gives to a Trainer without arguments.
@pytest.mark.filterwarnings("ignore:`max_epochs` was not set")
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_readme_python_example_runs(example: str, working_folder: Path) -> None:
    assert any("stylize(" in block for block in PYTHON)
    assert any("Trainer().fit(module, datamodule=data)" in block for block in PYTHON)
    quick = re.sub(r"\bsteps=\d+", "steps=2", re.sub(r"\bsize=\d+", "size=32", example))
    exec(compile(quick, "README.md", "exec"), {"__name__": "example"})
    for result in re.findall(r'"(result\.\w+)"', example):
        assert Path(result).exists()


# The names


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readme_configurations_exist(path: Path) -> None:
    named = re.findall(r"(?<![\w/.])configs/[a-z][\w/]*\.yaml", TEXTS[path])
    bare = re.findall(r"--config[ =]([a-z][\w/]*)(?![\w/.])", TEXTS[path])
    missing = [name for name in [*named, *(f"configs/{name}.yaml" for name in bare)] if not (ROOT / name).exists()]
    assert missing == []


def test_readme_classes_exist() -> None:
    named = {name for text in [*YAML, *SWEEPS] for name in re.findall(r"class_path: ([\w.]+)", text)}
    ours = {*backbones.__all__, *callbacks.__all__, *losses.__all__}
    assert len(named & ours) >= 4
    for name in named - ours:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readme_links_resolve(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", TEXTS[path], flags=re.DOTALL | re.MULTILINE)
    broken = []
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        link = re.sub(f"^{ADDRESSES}", f"{ROOT}/", address)
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in find_anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def find_anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# The shape of the documentation


def test_root_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130
    assert len(README.split()) <= 900


def test_large_folders_have_a_readme() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    large = {path for path in folders if len([file for file in path.glob("*.py") if file.name != "__init__.py"]) > 5}
    assert [str(path.relative_to(ROOT)) for path in sorted(large) if not (path / "README.md").exists()] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/**/README.md")), ids=lambda path: path.parent.name)
def test_readme_of_a_folder_names_exactly_its_files(path: Path) -> None:
    named = {name.rpartition("/")[2] for name in re.findall(r"`([\w/]+\.py)`", TEXTS[path])}
    files = {file.name for file in path.parent.glob("*.py") if file.name != "__init__.py"}
    assert sorted(files - named) == []
    # It may also name files elsewhere in the package.
    existing = {file.name for file in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]}
    assert sorted(named - existing) == []


def test_map_shows_exactly_the_folders_that_exist() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    folders = {path.parent.relative_to(PACKAGE) for path in files} - {Path()}
    (tree,) = re.findall(r"^```\nnst_lightning/\n(.*?)^```", MAP, re.DOTALL | re.MULTILINE)
    shown: list[Path] = []
    for indent, name in re.findall(r"^((?:  )+)(\w+)/ ", tree, re.MULTILINE):
        parents = [path for path in shown if len(path.parts) == len(indent) // 2 - 1]
        shown.append(parents[-1] / name if parents else Path(name))
    assert sorted(shown) == sorted(folders)


def test_map_shows_the_order_of_imports() -> None:
    (order,) = re.findall(r"^## Imports\n.*?^```\n(.*?)^```", MAP, re.DOTALL | re.MULTILINE)
    assert order.split() == list(LAYERS)
