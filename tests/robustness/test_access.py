"""Files that may not be read, and files that change while they are read."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image
from nst_lightning.samples import sample_path
from tests.helpers import write_pair
from tests.robustness.refusals import FIT, assert_refused, list_files

# A user without permissions, for tests that run as the superuser.
NOBODY = 65534

# The option that reads a file, and the name of a file of its kind.
READERS = [
    ("data.content", "content.png"),
    ("data.content", "film.gif"),
    ("data.content", "film.mp4"),
    ("data.style", "style.png"),
    ("data.hold", "mask.png"),
    ("data.content_map", "mask.png"),
    ("model.initialization", "start.png"),
    ("ckpt_path", "run.ckpt"),
    ("replay", "steering.yaml"),
    ("config", "more.yaml"),
    ("model.backbone.weights", "weights.safetensors"),
]


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder with a file of each kind, which another user may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        monkeypatch.chdir(folder)
        write_files(folder)
        yield folder


def write_files(folder: Path) -> None:
    """Writes a file of each kind, all but the checkpoint."""
    write_pair(folder)
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "green", "blue")]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:])
    Image.new("L", (40, 30), 200).save("mask.png")
    frames[0].save("start.png")
    shutil.copy(sample_path("clip"), "film.mp4")
    Path("steering.yaml").write_text("- {step: 1, strength: 0.5}")
    Path("more.yaml").write_text("seed_everything: 3")
    torch.save({}, "weights.safetensors")


def write_checkpoint() -> None:
    """Writes the checkpoint of a run after two of three steps."""
    assert main([*FIT, "--data.plan.steps=3", "--trainer.max_steps=2"]) == 0
    shutil.copy(next(Path("logs").rglob("last.ckpt")), "run.ckpt")


def options_of(option: str, name: str) -> list[str]:
    if option == "ckpt_path":
        write_checkpoint()
    network = ["--model.backbone=VGG19"] if option == "model.backbone.weights" else []
    maps = ['--data.style={"file": "style.png", "map": "mask.png"}'] if option == "data.content_map" else []
    film = ["--data.plan.following_steps=1", "--data.last=2"] if name.startswith("film") else []
    return [*network, *maps, f"--{option}={name}", "--data.plan.steps=3", *film]


@pytest.fixture
def become_nobody() -> Iterator[Callable[[], None]]:
    """Returns a function that gives up the permissions of the superuser until the end of the test."""
    before = os.geteuid()
    yield lambda: os.seteuid(NOBODY) if before == 0 else None
    if before == 0:
        os.seteuid(before)


@pytest.mark.parametrize(("option", "name"), READERS)
def test_file_without_permission_is_refused(
    option: str, name: str, files: Path, become_nobody: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    options = options_of(option, name)
    # Imports everything, for which another user may have no permission either.
    main([*FIT, *options])
    shutil.rmtree("logs", ignore_errors=True)
    Path(name).chmod(0)
    become_nobody()
    assert_refused(capsys, [*FIT, *options], name)


class Changer:
    """Changes a file just before its n-th opening by Python, with an audit hook, which cannot be removed."""

    def __init__(self) -> None:
        self.name, self.left, self.change = "", 0, os.unlink
        sys.addaudithook(self._notice)

    def _notice(self, event: str, args: tuple[object, ...]) -> None:
        if event == "open" and self.left and isinstance(args[0], str) and os.path.basename(args[0]) == self.name:
            self.left -= 1
            if not self.left:
                self.change(self.name)


CHANGER = Changer()


def truncate(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def replace(path: str) -> None:
    Path("other").write_text("no longer what it was: [\n")
    os.replace("other", path)


CHANGES: dict[str, Callable[[str], None]] = {"truncated": truncate, "replaced": replace, "removed": os.unlink}


@pytest.mark.parametrize("opening", [1, 2])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("option", "name"), READERS)
@pytest.mark.usefixtures("files")
def test_file_that_changes_while_it_is_read(
    option: str,
    name: str,
    change: str,
    opening: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = options_of(option, name)
    monkeypatch.setattr(CHANGER, "name", name)
    monkeypatch.setattr(CHANGER, "change", CHANGES[change])
    monkeypatch.setattr(CHANGER, "left", opening)
    capsys.readouterr()
    result = Path("result.gif" if name.startswith("film") else "result.png")
    status = main([*FIT, *options, f"--output={result}"])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert not [path for path in list_files(Path()) if path.name.endswith(".part")]
    if status == 0:
        assert errors == []
        assert bool(torch.isfinite(read_image(result).image).all())
    else:
        assert status in (1, 2)
        assert len(errors) == 1
        # Of a film, the frames before the damage are kept.
        assert not result.exists() or name.startswith("film")
