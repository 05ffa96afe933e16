import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.backbones import SlimVGG19
from nst_lightning.images.io import read_image
from nst_lightning.losses import GramLoss
from nst_lightning.study.engine.batched_run import BatchTransfer
from nst_lightning.study.engine.run_records import FAILURE_FILE, read_status
from nst_lightning.study.spec.declaration import Study
from nst_lightning.study.spec.folder_study import create_folder_study
from nst_lightning.study.spec.resolve import Resolver
from nst_lightning.study.spec.study_resolver import StudyResolver
from nst_lightning.training.module import StyleTransfer
from tests.study.studies import ROOT, TRANSFER, create_section, read_results, run_study, write_study
from tests.helpers import write_pair


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


@pytest.mark.parametrize("optimizer", ["torch.optim.Adam", "CompactLBFGS"])
def test_batch_equals_single_runs(optimizer: str, tmp_path: Path) -> None:
    described = {"class_path": optimizer, "init_args": {"lr": 0.02} if "Adam" in optimizer else {}}
    axes: dict[str, list[Any]] = {"data.style": ["style.png", "sample:waves"], "seed_everything": [1, 2]}
    model = {"optimizer": described, "initialization": "noise"}
    write_study(tmp_path, create_section(axes=axes, model=model, snapshots=[2, 4], trainer={"precision": "32-true"}))
    assert run_study(output="single") == 0
    assert run_study("--batch=3", output="batch") == 0
    assert len(list(Path("batch/batches").iterdir())) == 1
    single, batch = read_pictures("single"), read_pictures("batch")
    assert list(single) == list(batch)
    for name, image in single.items():
        # A value halfway between two of the 8-bit values may be rounded to either.
        assert (image - batch[name]).abs().max() <= 1.01 / 255, name
        assert (image - batch[name]).abs().mean() < 1e-4, name
    for one, many in zip(read_results("single"), read_results("batch"), strict=True):
        assert float(one["total"]) == pytest.approx(float(many["total"]), rel=1e-4)


def test_batch_uses_the_options_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Watched(BatchTransfer):
        def optimizer_step(self, *args: Any, **options: Any) -> None:
            super().optimizer_step(*args, **options)
            made.append((self.step_evaluations, self.cuda_graphs))

    monkeypatch.setattr("nst_lightning.study.engine.batch.BatchTransfer", Watched)
    small = {"content": "content.png", "style": "style.png", "plan": {"size": 32, "steps": 4, "iterations_per_step": 3}}
    write_study(tmp_path, create_section(data=small, snapshots=[3, 4]))
    assert run_study("--batch=2") == 0
    assert made == [(3, False), (1, False)]
    items = [StyleTransfer(SlimVGG19(), {"style": GramLoss(["conv_1"])}, cuda_graphs=True)]
    assert BatchTransfer(items, [1]).cuda_graphs


def test_batch_accepts_the_default_optimizer(tmp_path: Path) -> None:
    config = yaml.safe_load(Path(create_section()["config"]).read_text())
    del config["model"]["optimizer"]
    (tmp_path / "default.yaml").write_text(yaml.safe_dump(config))
    write_study(tmp_path, create_section(config="default.yaml"))
    assert run_study("--batch=2") == 0
    assert len(list(Path("out/batches").iterdir())) == 1


def test_batch_groups_only_similar_runs(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"data.content": ["content.png", "style.png"], "data.plan.steps": [2, 3]}
    write_study(tmp_path, create_section(axes=axes))
    assert run_study("--batch=4") == 0
    assert not Path("out/batches").exists()


def test_batch_that_does_not_fit_is_painted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def needed(*unused: Any, items: int, device: torch.device) -> int:
        assert device == torch.device("cpu")
        asked.append(items)
        return 2 * 10**9

    monkeypatch.setattr("nst_lightning.study.engine.batch.estimate_bytes", needed)
    monkeypatch.setattr("nst_lightning.study.engine.batch.free_bytes", lambda device: 10**9)
    write_study(tmp_path, create_section())
    assert run_study("--batch=2") == 0
    assert asked == [2]
    assert "A batch of 2 would not fit into memory: its runs are painted one by one." in capsys.readouterr().err
    assert [line["state"] for line in read_results()] == ["done", "done"]


def test_batch_with_a_failing_run_paints_the_others(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    write_study(tmp_path, create_section(axes={"data.style": ["broken.png", "style.png", "content.png"]}))
    assert run_study("--batch=3") == 1
    assert [line["state"] for line in read_results()] == ["failed", "done", "done"]


def test_killed_batch_resumes_bitwise(tmp_path: Path) -> None:
    write_study(tmp_path, create_pausing_section(tmp_path, steps=12, pause_at=8))
    process = start_study("--batch=2")
    wait_for_pause(process)
    process.kill()
    process.communicate()
    assert len(list(Path("out/batches").glob("*/checkpoints/last.ckpt"))) == 1
    release()
    assert run_study("--batch=2") == 0
    assert [line["starts"] for line in read_results()] == ["2", "2"]
    assert run_study("--batch=2", output="whole") == 0
    whole = read_pictures("whole")
    assert all(torch.equal(image, whole[name]) for name, image in read_pictures("out").items())


def test_study_shows_a_film_as_a_video(tmp_path: Path) -> None:
    plan = {"size": 32, "steps": 2, "following_steps": 1}
    data = {"content": "sample:clip", "style": "style.png", "last": 2, "compare": True, "plan": plan}
    axes = {"data.flow": ["none", "dis"]}
    write_study(tmp_path, create_section(config=str(ROOT / "configs" / "video.yaml"), data=data, axes=axes))
    assert run_study() == 0
    page = Path("out/index.html").read_text()
    assert page.count("<video") == 2
    assert page.count("film_compare.mp4") == 2
    assert [line["state"] for line in read_results()] == ["done", "done"]
    assert run_study() == 0
    assert run_study("--batch=2", output="batched") == 0
    assert not Path("batched/batches").exists(), "a batch has stills only"


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


def test_study_requires_sections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    assert run_study() == 1
    assert "sections" in capsys.readouterr().err


def test_study_writes_the_failure_of_a_run(tmp_path: Path) -> None:
    write_study(tmp_path, create_section(axes={"model.losses.style.layers": [["conv_1"], ["conv_14"]]}))
    assert run_study() == 1
    (failed,) = [folder for folder in list_run_folders() if read_status(folder) == "failed"]
    assert "conv_14" in (failed / FAILURE_FILE).read_text()
