"""Runs of `fit` on a busy machine."""

import json
from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from nst_lightning.benchmark import busy
from nst_lightning.benchmark.busy import Situation, TimedFit, summarize_situation
from tests.helpers import PACKAGE, find_commands

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_busy_command_prints_one_table_and_writes_its_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy, "SITUATIONS", [Situation("busy", busy=1)])
    commands = find_commands((PACKAGE / "benchmark" / "README.md").read_text())
    (words,) = (words for words in commands if "--busy" in words)
    assert main([*words[3:], "--quick", "--json=busy.json"]) == 0
    (row,) = json.loads(Path("busy.json").read_text())["busy"]
    assert row["situation"] == "busy"
    first, last, auto = row["seconds"]
    assert (first, auto) == ("1", "auto")
    assert row["threads"][first] == 1
    assert row["threads"][last] == int(last)
    assert 1 <= row["threads"][auto] <= int(last)
    assert min(row["seconds"].values()) > 0
    assert min(row["speed"].values()) > 0
    table = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert len(table) == 3
    assert all(line.startswith("|") and line.endswith("|") for line in table)
    assert f"{row['ratio']:.2f}" in table[2]


def test_busy_ratios_are_relative_to_the_better_given_number() -> None:
    row = summarize_situation(
        Situation("any"),
        {
            "1": [TimedFit(12, 10, 1), TimedFit(10, 12, 1), TimedFit(11, 11, 1)],
            "2": [TimedFit(40, 3, 2)],
            "auto": [TimedFit(22, 10, 1), TimedFit(22, 10, 2)],
        },
    )
    assert row["seconds"] == {"1": 11, "2": 40, "auto": 22}
    assert row["threads"] == {"1": 1, "2": 2, "auto": 1.5}
    assert row["ratio"] == 2
    assert row["step_ratio"] == pytest.approx(1.1)


def test_busy_command_reports_why_a_run_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy, "SITUATIONS", [Situation("alone")])
    monkeypatch.setattr(busy, "_fit_command", lambda *unused: ["python", "-c", "raise ValueError('no picture')"])
    assert main(["benchmark", "--busy", "--quick"]) == 1
    assert capsys.readouterr().err == ("error: Expected `fit` to be measured, but it failed: ValueError: no picture\n")
    assert main(["benchmark", "--busy", "--rounds=0"]) == 1
    assert "`rounds` to be positive" in capsys.readouterr().err
