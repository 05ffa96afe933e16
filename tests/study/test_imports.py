"""Imports inside of `study` go downward only: spec, engine, report, command."""

import re

import pytest

from tests.helpers import ROOT

STUDY = ROOT / "nst_lightning" / "study"


@pytest.mark.parametrize(("folder", "lower"), [("spec", set()), ("engine", {"spec"}), ("report", {"spec", "engine"})])
def test_study_folder_imports_only_lower_folders(folder: str, lower: set[str]) -> None:
    code = "".join(path.read_text() for path in (STUDY / folder).glob("*.py"))
    assert set(re.findall(r"from nst_lightning\.study\.(\w+)", code)) - {folder} == lower


def test_study_report_reads_only_run_records() -> None:
    code = "".join(path.read_text() for path in (STUDY / "report").glob("*.py"))
    assert set(re.findall(r"from nst_lightning\.study\.engine\.(\w+)", code)) == {"run_records"}
