import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from nst_lightning.images.io import write_image
from tests.cli.test_cli import QUICK, QUICK_FILM
from tests.tiny import smooth_image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [part.strip() for block in BLOCKS for line in block.splitlines() for part in line.split("&&")]
OURS = [command for command in COMMANDS if command.startswith("python -m nst_lightning")]


def test_the_first_two_lines_are_those_that_are_promised() -> None:
    assert BLOCKS[0].startswith("pip install . && python -m nst_lightning fit --config configs/transfer.yaml")
    assert BLOCKS[1] == 'pip install -e ".[dev]" && pytest\n'
    assert len(OURS) >= 6


@pytest.mark.parametrize("command", OURS)
def test_the_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    write_image("photo.jpg", smooth_image(40, 50))
    write_image("painting.jpg", smooth_image(45, 35, seed=1))
    write_image("draft.png", smooth_image(40, 50, seed=2))  # what the command before the one that names it leaves
    for folder, name in (("photos", "photo.jpg"), ("paintings", "painting.jpg")):
        (tmp_path / folder).mkdir()
        shutil.copy(name, folder)
    args = shlex.split(command)[3:]
    if args[0] == "fit":
        args += QUICK
    if args[0] == "benchmark":
        args += ["--quick"]
    if args[0] == "study":
        args += ["--config=short.yaml", "--size=32"]
        (tmp_path / "short.yaml").write_text("trainer: {max_steps: 2}")
    if "configs/video.yaml" in args:
        args += QUICK_FILM
    if "configs/backbones/vgg19.yaml" in args:
        args += ["--model.backbone.weights=random"]
    assert main(args) == 0


@pytest.mark.parametrize("name", re.findall(r"`(configs/[\w/]+\.yaml)`", README))
def test_the_configurations_exist(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_other_commands_are_installed() -> None:
    others = {command.split()[0] for command in COMMANDS} - {"pip", "python"}
    assert others == {"pytest", "tensorboard"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = " ".join(project["dependencies"] + project["optional-dependencies"]["dev"])
    assert all(other in needed for other in others)


def test_the_sweep_is_ten_lines_and_paints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sweep,) = re.findall(r"```yaml\n(title: .*?)```", README, re.DOTALL)
    assert len(sweep.splitlines()) == 10
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    write_image("photo.jpg", smooth_image(40, 50))
    write_image("painting.jpg", smooth_image(45, 35, seed=1))
    write_image("draft.png", smooth_image(40, 50, seed=2))  # what the command before the one that names it leaves
    Path("sweep.yaml").write_text(sweep)
    Path("short.yaml").write_text("trainer: {max_steps: 2}")
    assert main(["study", "--config=sweep.yaml", "--config=short.yaml", "--size=32", "--output=out"]) == 0
    assert len(list(Path("out/runs").iterdir())) == 6


def test_the_python_example_compiles() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(example, "README.md", "exec")
    assert "stylize(" in example


def test_the_classes_that_are_named_are_ours() -> None:
    from nst_lightning import callbacks, losses

    named = re.findall(r"class_path: (\w+)", README)
    assert len(named) >= 4
    assert all(name in [*losses.__all__, *callbacks.__all__] for name in named)
