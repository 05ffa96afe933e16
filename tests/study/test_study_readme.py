"""The commands and the sweep of the README of studies."""

import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from nst_lightning.images.io import write_image
from nst_lightning.study.spec.declaration import Section
from tests.study.studies import ROOT
from tests.helpers import smooth_image

README = (ROOT / "nst_lightning" / "study" / "README.md").read_text()
COMMANDS = re.findall(r"^python -m nst_lightning (study .*)$", README, re.MULTILINE)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    write_image("photo.jpg", smooth_image(40, 50))
    write_image("painting.jpg", smooth_image(45, 35, seed=1))
    for folder, name in (("photos", "photo.jpg"), ("paintings", "painting.jpg")):
        Path(folder).mkdir()
        shutil.copy(name, folder)
    Path("short.yaml").write_text("trainer: {max_steps: 2}")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str) -> None:
    assert main([*shlex.split(command), "--config=short.yaml", "--size=32"]) == 0


def test_the_sweep_is_ten_lines_and_paints() -> None:
    (sweep,) = re.findall(r"```yaml\n(title: .*?)```", README, re.DOTALL)
    assert len(sweep.splitlines()) == 10
    Path("sweep.yaml").write_text(sweep)
    assert main(["study", "--config=sweep.yaml", "--config=short.yaml", "--size=32", "--output=out"]) == 0
    assert len(list(Path("out/runs").iterdir())) == 6


def test_the_keys_of_a_section_are_explained() -> None:
    table = README.split("| key of a section |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))) == {
        field.name for field in fields(Section)
    }
