"""Runs that are painted as a batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from nst_lightning.backbones import SlimVGG19
from nst_lightning.images.io import read_image, write_image
from nst_lightning.losses import GramLoss
from nst_lightning.study.engine.batched_run import BatchTransfer
from nst_lightning.training.module import StyleTransfer
from tests.helpers import release, wait_for_pause
from tests.study.studies import (
    create_pausing_section,
    create_section,
    read_pictures,
    read_results,
    run_study,
    start_study,
    write_study,
)

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize("optimizer", ["torch.optim.Adam", "CompactLBFGS"])
def test_batch_equals_single_runs(optimizer: str, tmp_path: Path) -> None:
    optimizer_config = {"class_path": optimizer, "init_args": {"lr": 0.02} if "Adam" in optimizer else {}}
    axes: dict[str, list[Any]] = {"data.style": ["style.png", "sample:waves"], "seed_everything": [1, 2]}
    model = {"optimizer": optimizer_config, "initialization": "noise"}
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


def test_batch_writes_results_with_the_depth_of_its_runs(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"seed_everything": [1, 2], "depth": [16]}
    write_study(
        tmp_path, create_section(axes=axes, model={"initialization": "noise"}, trainer={"precision": "32-true"})
    )
    assert run_study("--batch=2", output="batch") == 0
    assert len(list(Path("batch/batches").iterdir())) == 1
    for image in read_pictures("batch").values():
        levels = image * 255
        assert (levels - levels.round()).abs().max() > 0.4


def test_batch_of_styles_with_options_and_a_palette_equals_single_runs(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"data.style": [{"file": "style.png", "rotation": [0, 90]}, "sample:waves"]}
    plan = {"size": 32, "steps": 3}
    data = {"content": "content.png", "plan": plan, "style_scale": [0.5, 1], "palette": {"start": 0.5, "result": 1}}
    write_study(tmp_path, create_section(axes=axes, data=data, trainer={"precision": "32-true"}))
    assert run_study(output="single") == 0
    assert run_study("--batch=2", output="batch") == 0
    assert len(list(Path("batch/batches").iterdir())) == 1
    single, batch = read_pictures("single"), read_pictures("batch")
    assert list(single) == list(batch)
    for name, image in single.items():
        # The match scales small differences.
        assert (image - batch[name]).abs().max() < 4 / 255, name
    page = Path("single/index.html").read_text()
    assert "style rotation 0, 90" in page


def test_runs_with_masks_are_painted_one_by_one(tmp_path: Path) -> None:
    for name, column in (("left", 0), ("right", 20)):
        mask = Image.new("L", (40, 30))
        mask.paste(255, (column, 0, column + 20, 30))
        mask.save(tmp_path / f"{name}.png")
    styles = [{"file": "style.png", "mask": f"{name}.png"} for name in ("left", "right")]
    axes: dict[str, list[Any]] = {"data.style": styles, "data.rest": ["content", 0], "data.hold_weight": [2.0]}
    data = {"content": "content.png", "hold": "left.png", "plan": {"size": 32, "steps": 2}}
    write_study(tmp_path, create_section(axes=axes, data=data))
    assert run_study("--batch=4") == 0
    assert len(read_results()) == 4
    assert not list(Path().glob("*/batches"))


@pytest.mark.parametrize("colors", ["content", "luminance"])
def test_batch_of_contents_keeps_the_colors_of_each(tmp_path: Path, colors: str) -> None:
    axes: dict[str, list[Any]] = {"data.content": ["content.png", "second.png"]}
    data = {"style": "sample:waves", "plan": {"size": 32, "steps": 3}}
    section = create_section(axes=axes, data=data | {"colors": colors}, trainer={"precision": "32-true"})
    write_study(tmp_path, section)
    write_image("second.png", 1 - read_image("content.png").image)
    assert run_study(output="single") == 0
    assert run_study("--batch=2", output="batch") == 0
    assert len(list(Path("batch/batches").iterdir())) == 1
    single, batch = read_pictures("single"), read_pictures("batch")
    for name, image in single.items():
        assert (image - batch[name]).abs().max() < 3 / 255, name
    first, second = single.values()
    assert (first - second).abs().mean() > 0.05


def test_batch_uses_the_options_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training_steps = []

    class BatchRecorder(BatchTransfer):
        def optimizer_step(self, *args: Any, **options: Any) -> None:
            super().optimizer_step(*args, **options)
            training_steps.append((self.step_evaluations, self.cuda_graphs))

    monkeypatch.setattr("nst_lightning.study.engine.batch.BatchTransfer", BatchRecorder)
    small = {"content": "content.png", "style": "style.png", "plan": {"size": 32, "steps": 4, "iterations_per_step": 3}}
    write_study(tmp_path, create_section(data=small, snapshots=[3, 4]))
    assert run_study("--batch=2") == 0
    assert training_steps == [(3, False), (1, False)]
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


def test_batch_contains_no_runs_whose_stages_may_end_early(tmp_path: Path) -> None:
    data = {"content": "content.png", "style": "style.png", "plan": {"size": 32, "steps": 40, "tolerance": 0.9}}
    write_study(tmp_path, create_section(data=data))
    assert run_study("--batch=4") == 0
    assert not Path("out/batches").exists()
    assert [line["state"] for line in read_results()] == ["done", "done"]
    assert all(line["steps"] == line["planned"] for line in read_results())
    assert all(11 <= int(line["steps"]) < 40 for line in read_results())


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_batch_with_a_strength_equals_single_runs(strength: float, tmp_path: Path) -> None:
    plan = {"size": 32, "steps": 3, "first_steps": 3}
    data = {"content": "content.png", "style": "style.png", "plan": plan}
    write_study(tmp_path, create_section(data=data, model={"strength": strength}, trainer={"precision": "32-true"}))
    assert run_study(output="single") == 0
    assert run_study("--batch=2", output="batch") == 0
    assert len(list(Path("batch/batches").iterdir())) == 1
    single, batch = read_pictures("single"), read_pictures("batch")
    for name, image in single.items():
        assert (image - batch[name]).abs().max() <= 1.01 / 255, name


def test_batch_of_tiles_equals_single_runs(tmp_path: Path) -> None:
    data = {"content": "content.png", "style": "style.png", "plan": {"size": 36, "steps": 3}}
    axes: dict[str, list[Any]] = {"model.tileable": [False, True], "seed_everything": [1, 2]}
    write_study(tmp_path, create_section(data=data, axes=axes, model={"initialization": "noise"}))
    assert run_study(output="single") == 0
    assert run_study("--batch=2", output="batch") == 0
    assert len(list(Path("batch/batches").iterdir())) == 2
    single, batch = read_pictures("single"), read_pictures("batch")
    assert sorted(image.shape[-1] for image in single.values()) == [36, 36, 40, 40]
    for name, image in single.items():
        assert image.shape == batch[name].shape
        assert (image - batch[name]).abs().mean() < 0.01, name


def test_study_sweeps_the_strength(tmp_path: Path) -> None:
    write_study(tmp_path, create_section(axes={"model.strength": [0, 0.5, 1]}))
    assert run_study() == 0
    pictures = list(read_pictures("out").values())
    assert len(pictures) == 3
    assert not any(torch.equal(pictures[a], pictures[b]) for a, b in ((0, 1), (1, 2), (0, 2)))


def test_batch_that_does_not_fit_is_painted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_sizes = []

    def estimate(*unused: Any, items: int, device: torch.device) -> int:
        assert device == torch.device("cpu")
        batch_sizes.append(items)
        return 2 * 10**9

    monkeypatch.setattr("nst_lightning.study.engine.batch.estimate_bytes", estimate)
    monkeypatch.setattr("nst_lightning.study.engine.batch.free_bytes", lambda device: 10**9)
    write_study(tmp_path, create_section())
    assert run_study("--batch=2") == 0
    assert batch_sizes == [2]
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
