"""A short version of the soak test."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.__main__ import format_table
from tests.soak.attack import Report, attack, paint
from tests.soak.kinds import KINDS, write_inputs


@pytest.mark.usefixtures("empty_folder")
def test_disturbed_run_equals_the_undisturbed_one() -> None:
    write_inputs()
    kind = replace(KINDS["fit"], command=[*KINDS["fit"].command, "--data.plan.steps=100"])
    expected, seconds = paint(kind)
    assert set(expected) == {"stylized.png", "checkpoints/last.ckpt"}
    Path("logs").rename("undisturbed")
    report = Report()
    attack(kind, expected, seconds, random.Random(2), report, most=2)
    assert report.failures == []
    assert report.runs == 1
    assert 1 <= sum(report.signals.values()) <= 2


@pytest.mark.usefixtures("empty_folder")
def test_other_results_are_reported() -> None:
    write_inputs()
    kind = replace(KINDS["fit"], command=[*KINDS["fit"].command, "--data.plan.steps=2"])
    report = Report()
    attack(kind, {"stylized.png": "another picture"}, 1.0, random.Random(0), report, most=0)
    assert report.failures == ["other results: checkpoints/last.ckpt, stylized.png"]


def test_table_has_a_row_for_each_kind() -> None:
    report = Report(runs=2, signals=Counter({"SIGKILL": 3, "SIGTERM": 1}), resumes=4, failures=["a"])
    assert format_table({"fit": report}).splitlines() == [
        "| kind | runs | SIGKILL | SIGTERM | SIGINT | SIGSTOP | resumes | failures |",
        "|---|---|---|---|---|---|---|---|",
        "| fit | 2 | 3 | 1 | 0 | 0 | 4 | 1 |",
    ]
