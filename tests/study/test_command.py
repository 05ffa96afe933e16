"""The `study` command."""

import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.backbones import SlimVGG19
from nst_lightning.images.io import read_image
from nst_lightning.study.engine.run_records import FAILURE_FILE, read_status
from nst_lightning.training.module import StyleTransfer
from tests.helpers import CONFIGS, finish_command, release, wait_for_pause
from tests.study.studies import (
    create_pausing_section,
    create_section,
    list_run_folders,
    read_pictures,
    read_results,
    run_study,
    start_study,
    write_study,
)

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_study_writes_page_sheets_curves_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, create_section(snapshots=[2, 4]))
    assert run_study() == 0
    assert [read_status(folder) for folder in list_run_folders()] == ["done", "done"]
    assert Path("out/index.html").exists()
    assert "<polyline" in (svg := Path("out/curves/1-sweep-1.svg").read_text()) or "<path" in svg
    with Image.open("out/sheets/1-sweep-1.png") as sheet:
        assert sheet.size == (8 + 3 * 264, 40 + 8 + 2 * 264)
    lines = read_results()
    assert [line["run"] for line in lines] == ["Sweep, style weight 10", "Sweep, style weight 1e6"]
    assert all(line["state"] == "done" and line["steps"] == "4" for line in lines)
    terms = [float(lines[0][term]) for term in ("content", "style", "smooth")]
    assert float(lines[0]["total"]) == pytest.approx(sum(terms), rel=1e-4)
    assert len(list(Path("out").rglob("step_000002.png"))) == 2
    out, err = capsys.readouterr()
    assert "2/2 runs" in err
    assert out.splitlines()[-1].endswith("index.html")
    assert "Sweep, style weight 10: 4 steps" in out


def test_study_run_equals_fit(tmp_path: Path) -> None:
    write_study(tmp_path, create_section(axes={"model.losses.style.weight": [10]}))
    run_study()
    (folder,) = list_run_folders()
    assert main(["fit", f"--config={folder / 'config.yaml'}", "--trainer.logger=false", "--output=alone.png"]) == 0
    assert torch.equal(read_image("alone.png").image, read_image(folder / "stylized.png").image)


def test_study_does_not_repeat_finished_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, create_section())
    run_study()
    before = {path: path.stat().st_mtime_ns for path in Path("out/runs").rglob("*")}
    assert run_study() == 0
    assert {path: path.stat().st_mtime_ns for path in Path("out/runs").rglob("*")} == before
    assert "2 of 2 runs are done already" in capsys.readouterr().out
    write_study(tmp_path, create_section(axes={"model.losses.style.weight": [10, 1e6, 5]}))
    assert run_study() == 0
    assert len(list_run_folders()) == 3
    assert before.items() <= {path: path.stat().st_mtime_ns for path in Path("out/runs").rglob("*")}.items()


def test_study_continues_after_a_failed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    write_study(tmp_path, create_section(axes={"data.style": ["broken.png", "style.png", "missing.png"]}))
    assert run_study() == 1
    assert [line["state"] for line in read_results()] == ["failed", "done", "failed"]
    assert "broken.png" in read_results()[0]["message"]
    page = Path("out/index.html").read_text()
    assert page.count('class="tile failed"') == 2
    assert page.count('<button type="button" class="tile"') == 1
    assert "2 of 3 runs failed" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes((tmp_path / "style.png").read_bytes())
    (tmp_path / "missing.png").write_bytes((tmp_path / "content.png").read_bytes())
    assert run_study() == 0
    assert "failed" not in {line["state"] for line in read_results()}


def test_study_builds_the_backbone_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    fill = SlimVGG19._fill

    def count_build(self: SlimVGG19) -> None:
        loaded.append(len(self.convolutions))
        fill(self)

    monkeypatch.setattr(SlimVGG19, "_fill", count_build)
    layers = [["conv_1"], ["conv_1", "conv_5"], ["conv_2"]]
    write_study(tmp_path, create_section(axes={"model.losses.style.layers": layers}))
    assert run_study() == 0
    assert loaded == [5]


def test_killed_study_resumes_to_the_whole_study_bitwise(tmp_path: Path) -> None:
    # The pause is in step 8 of the second of three runs.
    axes = {"model.losses.style.weight": [1, 10, 100]}
    write_study(tmp_path, create_pausing_section(tmp_path, steps=12, pause_at=20, axes=axes, snapshots=[4, 12]))
    process = start_study()
    wait_for_pause(process)
    process.kill()
    process.communicate()
    assert sorted(read_status(folder) for folder in list_run_folders()) == ["begun", "done"]
    release()
    assert run_study() == 0
    assert run_study(output="whole") == 0
    killed, whole = read_pictures("out"), read_pictures("whole")
    assert list(killed) == list(whole)
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    numbers = [
        [{name: value for name, value in line.items() if name not in ("seconds", "starts")} for line in read_results(o)]
        for o in ("out", "whole")
    ]
    assert numbers[0] == numbers[1]
    assert sorted(line["starts"] for line in read_results("out")) == ["1", "1", "2"]


def test_ctrl_c_before_the_first_step_ends_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StyleTransfer, "setup", lambda self, stage: signal.raise_signal(signal.SIGINT))
    write_study(tmp_path, create_section())
    assert run_study() == 130
    assert "done" not in {read_status(folder) for folder in list_run_folders()}
    assert not any((folder / FAILURE_FILE).exists() for folder in list_run_folders())
    assert "run the same command to resume" in capsys.readouterr().err


def test_ctrl_c_leaves_a_page_of_the_finished_runs(tmp_path: Path) -> None:
    # The pause is in step 2 of the second of four runs.
    axes = {"seed_everything": [1, 2, 3, 4]}
    noise = {"initialization": "noise"}
    write_study(tmp_path, create_pausing_section(tmp_path, steps=5, pause_at=7, axes=axes, model=noise))
    process = start_study()
    wait_for_pause(process)
    process.send_signal(signal.SIGINT)
    release()
    _, errors = finish_command(process, 130)
    assert "run the same command to resume" in errors
    assert "Traceback" not in errors
    assert sorted(line["state"] for line in read_results()) == ["begun", "done", "new", "new"]
    assert "not painted yet" in Path("out/index.html").read_text()


def test_study_shows_a_film_as_a_video(tmp_path: Path) -> None:
    plan = {"size": 32, "steps": 2, "following_steps": 1}
    data = {"content": "sample:clip", "style": "style.png", "last": 2, "compare": True, "plan": plan}
    axes = {"data.flow": ["none", "dis"]}
    write_study(tmp_path, create_section(config=str(CONFIGS / "video.yaml"), data=data, axes=axes))
    assert run_study() == 0
    page = Path("out/index.html").read_text()
    assert page.count("<video") == 2
    assert page.count("film_compare.mp4") == 2
    assert [line["state"] for line in read_results()] == ["done", "done"]
    assert run_study() == 0
    assert run_study("--batch=2", output="batched") == 0
    assert not Path("batched/batches").exists(), "a batch has stills only"


def test_study_requires_sections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    assert run_study() == 1
    assert "sections" in capsys.readouterr().err
