"""The wheel, the lowest versions of the dependencies, and the metadata of the project."""

import email
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from nst_lightning.samples.gallery import CLIPS, SAMPLES, sample_path
from tests.helpers import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
DRAWING = "nst_lightning.samples.drawing"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, because a build leaves files next to them."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("nst_lightning", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = output.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, as pip installs a wheel without compiled code."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_wheel_contains_all_files_that_runs_need(installed_folder: Path) -> None:
    package = installed_folder / "nst_lightning"
    for name in ("py.typed", "backbones/slim_vgg19.safetensors", *list_package_files("study/report/template")):
        assert (package / name).is_file()
    for name in SAMPLES + CLIPS:
        assert (package / "samples" / "files" / sample_path(name).name).is_file()
    configs = {
        path.relative_to(ROOT) for suffix in ("yaml", "json") for path in (ROOT / "configs").rglob(f"*.{suffix}")
    }
    assert {path.relative_to(package) for path in (package / "configs").rglob("*") if path.is_file()} == configs
    modules = {path.relative_to(ROOT) for path in (ROOT / "nst_lightning").rglob("*.py") if "drawing" not in path.parts}
    assert {path.relative_to(installed_folder) for path in installed_folder.rglob("*.py")} == modules


def test_wheel_contains_nothing_else(installed_folder: Path) -> None:
    assert {path.name.split("-")[0] for path in installed_folder.iterdir()} == {"nst_lightning"}
    assert not (installed_folder / "nst_lightning" / "samples" / "drawing").exists()
    suffixes = {path.suffix for path in (installed_folder / "nst_lightning").rglob("*") if path.is_file()}
    assert suffixes <= {".py", ".typed", ".yaml", ".safetensors", ".webp", ".mp4", ".html", ".css", ".js", ".json"}


def test_wheel_paints_in_an_empty_folder(installed_folder: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed_folder)}
    command = [sys.executable, "-m", "nst_lightning", "fit", "--config", "transfer", "--data.plan.size=32"]
    subprocess.run([*command, "--data.plan.steps=1"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "logs" / "transfer" / "version_0" / "stylized.png").is_file()
    code = "import nst_lightning; print(nst_lightning.__file__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(run.stdout.strip()) == installed_folder / "nst_lightning" / "__init__.py"


def test_readme_of_the_package_index_has_absolute_links(installed_folder: Path) -> None:
    (metadata,) = installed_folder.glob("*.dist-info/METADATA")
    message = email.message_from_string(metadata.read_text())
    text = str(message.get_payload())
    assert message["Description-Content-Type"] == "text/markdown"
    home = PROJECT["urls"]["Homepage"]
    pictures, links = (re.findall(rf"{mark}\[[^\]]*\]\(([^)\s]+)\)", text) for mark in ("!", "(?<!!)"))
    assert pictures
    for link in pictures:
        name = link.removeprefix(f"{home.replace('github.com', 'raw.githubusercontent.com')}/main/")
        assert (ROOT / name).is_file()
    ours = [link for link in links if link.startswith(home)]
    assert len(ours) > 5
    assert all((ROOT / link.removeprefix(f"{home}/blob/main/").partition("#")[0]).is_file() for link in ours)
    assert all(link.startswith("https://") for link in links)


def test_packages_equal_the_folders_with_code() -> None:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "nst_lightning").rglob("*.py")}
    names = {".".join(folder.parts) for folder in folders} - {DRAWING}
    configs = {f"nst_lightning.configs{folder}" for folder in ("", ".backbones", ".schema")}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == names | configs


def test_drawing_is_imported_only_by_drawing() -> None:
    users = [path for path in (ROOT / "nst_lightning").rglob("*.py") if DRAWING in path.read_text()]
    assert {path.parent.name for path in users} == {"drawing"}


def test_lowest_versions_equal_the_lower_bounds() -> None:
    extras = PROJECT["optional-dependencies"]
    requirements = [Requirement(text) for text in PROJECT["dependencies"] + extras["ray"] + extras["video"]]
    bounds = {
        requirement.name: Version(bound.version)
        for requirement in requirements
        for bound in requirement.specifier
        if bound.operator == ">="
    }
    lines = (ROOT / ".ci" / "lowest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert len(bounds) == len(requirements)
    assert {name: Version(version) for name, version in pinned.items()} == bounds


def test_citation_is_valid() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "message", "type", "authors", "license", "references"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Homepage"]
    assert re.search(r'__version__ = "(.*)"', (ROOT / "nst_lightning/version.py").read_text())[1] == citation["version"]  # type: ignore[index]


def list_package_files(folder: str) -> list[str]:
    package = ROOT / "nst_lightning"
    return [str(path.relative_to(package)) for path in (package / folder).iterdir()]
