import json
from pathlib import Path
from typing import Any

import pytest

from nst_lightning.__main__ import main
from tests.cli.film_run import read_film_summary, run_folder


def test_flicker_command_measures_the_summary_value(run_film: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run_film()
    args = ["--source=clip.mp4", "--output=new/numbers.json"]
    assert main(["flicker", str(run_folder() / "frames"), *args]) == 0
    assert f"warping error {read_film_summary()['warping_error']:.4f}, over 4 of 5 frames" in capsys.readouterr().out
    actual = json.loads(Path("new/numbers.json").read_text())["per_frame"]
    assert actual == pytest.approx([record["warping_error"] for record in read_film_summary()["per_frame"]])
    assert main(["flicker", "clip.mp4", "--source=clip.mp4", "--size=20"]) == 0
    assert main(["flicker", "clip.mp4", "--source=clip.mp4", "--first=3"]) == 1
    assert main(["flicker", "clip.mp4", "--source=clip.mp4", "--flow=none"]) == 1
    assert main(["flicker", "clip.mp4"]) == 2
    capsys.readouterr()
    assert main(["flicker", "clip.mp4", "--source=clip.mp4", "--output=new"]) == 1
    assert capsys.readouterr() == ("", "error: Expected the path of a file to write, but new is a directory.\n")
