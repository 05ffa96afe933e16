from pathlib import Path

import pytest

from nst_lightning.samples import SAMPLES
from nst_lightning.samples.command import main


def test_samples_command_copies_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    names = [*(f"{name}.png" for name in SAMPLES), "clip.mp4"]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in names]


def test_samples_command_accepts_the_old_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path), "--render", "true"]) == 0
    assert len(list(tmp_path.iterdir())) == len(SAMPLES) + 1
    (notice,) = capsys.readouterr().err.splitlines()
    assert "--render" in notice


@pytest.mark.parametrize("args", [[], ["--output"], ["--unknown", "1"], ["--output", "x", "--render", "perhaps"]])
def test_samples_command_rejects_invalid_arguments(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")


def test_samples_command_rejects_a_file_as_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    assert main(["--output", str(taken)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
