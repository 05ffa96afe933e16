import json
from pathlib import Path

import pytest
import torch

from nst_lightning.__main__ import main
from nst_lightning.system.precision import native_precisions
from tests.helpers import PACKAGE, find_commands


def test_benchmark_command_prints_tables_and_writes_their_numbers(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = find_commands((PACKAGE / "benchmark" / "README.md").read_text())
    (words,) = (words for words in commands if words[3:4] == ["benchmark"] and "--busy" not in words)
    assert main([*words[3:], "--quick"]) == 0
    (file,) = empty_folder.iterdir()
    out = capsys.readouterr().out
    results = json.loads(file.read_text())
    measured = list(native_precisions("cpu"))
    assert results["precisions"] == measured
    assert list(dict.fromkeys(row["precision"] for row in results["ceiling"])) == measured
    assert {row["precision"] for row in results["steps"][2:]} == {measured[-1]}
    assert ("float32 alone is measured" in out) is (len(measured) == 1)
    assert all(row["rate"] > 0 for row in results["ceiling"])
    deep = ["VGG19 to conv5_1", "VGG19 to conv5_1, checkpointing"]
    assert [row["network"] for row in results["steps"]] == ["reference"] * 2 + ["SlimVGG19"] * 2 + deep
    for row in results["steps"]:
        assert row["seconds"]["least"] <= row["seconds"]["median"]
        assert f"{row['seconds']['median']:.4g}" in out
    plain, ours = results["steps"][0]["seconds"], results["steps"][2]
    # The speed is relative to steps of the plain loop that are interleaved with ours.
    assert plain["least"] / ours["seconds"]["median"] <= ours["speed"]
    assert 0 < ours["share"] < 1
    assert ours["peak_bytes"] > 0
    assert "speed" not in results["steps"][-1]
    assert results["lightning"]["cost"] == pytest.approx(
        results["lightning"]["fit"]["mean"] / results["lightning"]["bare"]["mean"] - 1
    )
    assert results["quality"]["goal"] < results["quality"]["start"]
    assert "Time to the objective of the reference after 6 evaluations at 32 px" in out


def test_benchmark_rejects_invalid_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--sizes", "8"]) == 1
    assert "16 px or more, but got [8]" in capsys.readouterr().err
    assert main(["benchmark", "--steps", "0"]) == 1
    assert "`steps` to be positive" in capsys.readouterr().err
    # Before the measurements, which take minutes.
    assert main(["benchmark", "--quick", "--json", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: Expected the path of a file to write, but {tmp_path} is a directory.\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_benchmark_rejects_a_missing_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--device", "cuda"]) == 1
    assert "torch finds none" in capsys.readouterr().err
