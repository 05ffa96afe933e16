from pathlib import Path

import pytest

from nst_lightning.study.engine.run_records import FAILURE_FILE, read_status
from tests.study.studies import create_section, list_run_folders, run_study, write_study

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_study_writes_the_failure_of_a_run(tmp_path: Path) -> None:
    write_study(tmp_path, create_section(axes={"model.losses.style.layers": [["conv_1"], ["conv_14"]]}))
    assert run_study() == 1
    (failed,) = [folder for folder in list_run_folders() if read_status(folder) == "failed"]
    assert "conv_14" in (failed / FAILURE_FILE).read_text()
