from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from nst_lightning.study.spec.declaration import Study
from nst_lightning.study.spec.folder_study import create_folder_study
from nst_lightning.study.spec.resolve import Resolver
from nst_lightning.study.spec.study_resolver import StudyResolver
from tests.helpers import TRANSFER, write_pair
from tests.study.studies import create_section, read_results, write_study

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_folder_study_uses_the_transfer_recipe(tmp_path: Path) -> None:
    write_pair(tmp_path)
    study = create_folder_study(Study(), "content.png", "style.png")
    (run,) = StudyResolver([Path()]).resolve(study).runs
    pair = {"data.content": "content.png", "data.style": "style.png"}
    assert run.configuration == Resolver().resolve([Path(TRANSFER)], pair)


def test_folder_study_paints_every_content_in_every_style(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, create_section())
    for folder, name in (("contents", "content.png"), ("styles", "style.png")):
        Path(folder).mkdir()
        for copy in ("a", "b"):
            (Path(folder) / f"{copy}.png").write_bytes((tmp_path / name).read_bytes())
    Path("contents/notes.txt").write_text("no picture")
    steps = "trainer: {max_steps: 2}\n"
    Path("short.yaml").write_text(steps)
    args = ["study", "--contents=contents", "--styles=styles/*.png", "--size=32", "--output=out", "--config=short.yaml"]
    assert main(args) == 0
    assert len(read_results()) == 4
    assert main(["study", "--contents=contents", "--output=out"]) == 1
    assert "--styles" in capsys.readouterr().err
    assert main(["study", "--contents=nowhere", "--styles=styles", "--output=out"]) == 1
    assert main(["study", "--config=study.yaml", "--contents=contents", "--styles=styles", "--output=out"]) == 1
