"""Files that are missing, empty, cut off, of another kind, folders, pipes, or links that lead nowhere."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from tests.robustness.refusals import FIT, assert_refused


def make_files() -> None:
    """Creates a file of each kind in the current folder."""
    os.mkfifo("pipe")
    for ending in ("png", "mp4", "yaml", "ckpt", "safetensors", "gif", "flo"):
        Path(f"empty.{ending}").touch()
        Path(f"noise.{ending}").write_bytes(bytes(range(256)) * 16)
        Path(f"folder.{ending}").mkdir()
        os.mkfifo(f"pipe.{ending}")
        Path(f"loop.{ending}").symlink_to(f"loop.{ending}")
        Path(f"dangling.{ending}").symlink_to("nowhere")
    Path("cut.png").write_bytes(Path("style.png").read_bytes()[:300])
    shutil.copy("style.png", "wrong.yaml")
    shutil.copy("style.png", "wrong.ckpt")
    Path("text.png").write_text("hello")


KINDS = ("empty", "noise", "folder", "pipe", "loop", "dangling")

# The option that reads a file, and the ending of the files that it expects.
READERS = [
    ("data.content", "png"),
    ("data.content", "mp4"),
    ("data.content", "gif"),
    ("data.style", "png"),
    ("data.hold", "png"),
    ("data.content_map", "png"),
    ("model.initialization", "png"),
    ("ckpt_path", "ckpt"),
    ("replay", "yaml"),
    ("config", "yaml"),
]
CASES = [(option, f"{kind}.{ending}") for option, ending in READERS for kind in KINDS]
CASES += [("data.style", "cut.png"), ("data.hold", "cut.png"), ("data.content", "text.png")]
CASES += [("config", "wrong.yaml"), ("replay", "wrong.yaml"), ("ckpt_path", "wrong.ckpt")]
CASES += [(option, f"{'n' * 300}.{ending}") for option, ending in READERS]
# An empty configuration or list of changes is a valid one.
CASES = [case for case in CASES if case not in {("config", "empty.yaml"), ("replay", "empty.yaml")}]


@pytest.mark.parametrize(("option", "name"), CASES, ids=[f"{option}={name[:20]}" for option, name in CASES])
def test_file_is_refused(refuse: Callable[..., str], option: str, name: str) -> None:
    make_files()
    refuse([f"--{option}={name}"])


WEIGHTS = [f"--model.backbone.weights={kind}.safetensors" for kind in KINDS]


@pytest.mark.parametrize("option", WEIGHTS)
def test_weights_are_refused(refuse: Callable[..., str], option: str) -> None:
    make_files()
    refuse(["--model.backbone=VGG19", option])


@pytest.mark.parametrize("kind", KINDS)
def test_flow_is_refused(refuse: Callable[..., str], kind: str) -> None:
    make_files()
    for frame in (0, 1):
        for other in (0, 1):
            Path(f"{frame}_{other}.flo").symlink_to(f"{kind}.flo")
    refuse(["--data.content=sample:clip", "--data.last=1", "--data.flow={frame}_{to}.flo"])


@pytest.mark.parametrize("kind", KINDS)
def test_study_file_is_refused(
    kind: str, empty_folder: Path, capsys: pytest.CaptureFixture[str], refuse: Callable[..., str]
) -> None:
    make_files()
    assert_refused(capsys, ["study", f"--config={kind}.yaml"])


@pytest.mark.parametrize("name", ["empty.png", "noise.png", "folder.png", "pipe.png", "dangling.png"])
@pytest.mark.parametrize("command", ["flicker", "steer", "study"])
def test_other_command_refuses_a_file(
    command: str, name: str, refuse: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_files()
    options = {
        "flicker": [name, "sample:clip"],
        "steer": [name, "--stop"],
        "study": [f"--contents={name}", "--styles=nowhere"],
    }
    assert_refused(capsys, [command, *options[command]])


def test_output_into_a_file_is_refused(refuse: Callable[..., str]) -> None:
    refuse(["--output=content.png/result.png"], "content.png")


def test_fit_of_these_tests_is_complete(refuse: Callable[..., str]) -> None:
    # Otherwise all of the refusals above could have another reason.
    assert main([*FIT, "--output=result.png"]) == 0
    assert Path("result.png").exists()
