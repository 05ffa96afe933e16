import json
from pathlib import Path

import pytest
import torch

from nst_lightning.__main__ import main
from nst_lightning.backbones import VGG19
from nst_lightning.benchmark import timed_steps
from nst_lightning.benchmark.bare_loop import GRAM_LAYERS, BareLoop, load_images
from nst_lightning.benchmark.ceiling import measure_ceiling
from nst_lightning.benchmark.interleaved import list_kinds
from nst_lightning.benchmark.quality import find_first_time, record_curve
from nst_lightning.benchmark.reference import ReferenceLoop
from nst_lightning.benchmark.table import format_table
from nst_lightning.benchmark.worker import measure, start_worker
from nst_lightning.errors import InputError
from nst_lightning.system.precision import PRECISIONS, Precision, native_precisions


def test_benchmark_command_prints_tables_and_writes_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    assert main(["benchmark", "--quick", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    found = json.loads(file.read_text())
    measured = list(native_precisions("cpu"))
    assert found["precisions"] == measured
    assert list(dict.fromkeys(row["precision"] for row in found["ceiling"])) == measured
    assert {row["precision"] for row in found["steps"][2:]} == {measured[-1]}
    assert ("float32 alone is measured" in out) is (len(measured) == 1)
    assert all(row["rate"] > 0 for row in found["ceiling"])
    deep = ["VGG19 to conv5_1", "VGG19 to conv5_1, checkpointing"]
    assert [row["network"] for row in found["steps"]] == ["reference"] * 2 + ["SlimVGG19"] * 2 + deep
    for row in found["steps"]:
        assert row["seconds"]["least"] <= row["seconds"]["median"]
        assert f"{row['seconds']['median']:.4g}" in out
    plain, ours = found["steps"][0]["seconds"], found["steps"][2]
    # The speed is relative to steps of the plain loop that are interleaved with ours.
    assert plain["least"] / ours["seconds"]["median"] <= ours["speed"]
    assert 0 < ours["share"] < 1
    assert ours["peak_bytes"] > 0
    assert "speed" not in found["steps"][-1]
    assert found["lightning"]["cost"] == pytest.approx(
        found["lightning"]["fit"]["mean"] / found["lightning"]["bare"]["mean"] - 1
    )
    assert found["quality"]["goal"] < found["quality"]["start"]
    assert "Time to the objective of the reference after 6 evaluations at 32 px" in out


@pytest.mark.parametrize("precisions", [PRECISIONS, PRECISIONS[:1]])
def test_benchmark_measures_only_native_precisions(precisions: tuple[Precision, ...]) -> None:
    kinds = list(list_kinds(precisions, quick=False))
    ours = [kind for kind in kinds if kind.task == "step"]
    assert {kind.precision for kind in ours} == set(precisions)
    assert len(ours) == 2 * 2 * len(precisions) + 2
    assert {kind.precision for kind in ours if not kind.is_comparable} == {precisions[-1]}
    rows = measure_ceiling("cpu", True, precisions)
    assert {row["precision"] for row in rows} == set(precisions)


def test_benchmark_rejects_invalid_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--sizes", "8"]) == 1
    assert "16 px or more, but got [8]" in capsys.readouterr().err
    assert main(["benchmark", "--steps", "0"]) == 1
    assert "`steps` to be positive" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_benchmark_rejects_a_missing_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--device", "cuda"]) == 1
    assert "torch finds none" in capsys.readouterr().err


def create_loops(size: int = 32) -> tuple[ReferenceLoop, BareLoop]:
    backbone = VGG19(weights="random")
    backbone.build(GRAM_LAYERS)
    return ReferenceLoop(backbone, *load_images(size, "cpu")), BareLoop("VGG19", size, "cpu", "32-true")


def test_reference_loop_has_our_objective() -> None:
    plain, ours = create_loops()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = sum(term.item() for term in ours.module.criterion(image).values())
    assert plain.objective(image).item() == pytest.approx(expected, rel=1e-3)


def test_quality_curve_starts_at_the_reference_and_decreases() -> None:
    plain, ours = create_loops()
    curve = record_curve(ours, plain, evaluations=4, every=1)
    assert curve[0][0] == 0
    assert curve[0][1] == pytest.approx(plain.step(), rel=1e-4)
    assert [seconds for seconds, _ in curve] == sorted(seconds for seconds, _ in curve)
    assert len(curve) == 6


def test_first_time_is_the_earliest_below_the_value() -> None:
    curve = [(0.0, 9.0), (1.0, 4.0), (2.0, 5.0), (3.0, 1.0)]
    assert [find_first_time(curve, value) for value in (9.0, 4.5, 3.0, 0.5)] == [0.0, 1.0, 3.0, None]


def test_worker_continues_on_request() -> None:
    with start_worker("reference", size=32, device="cpu", history=10) as worker:
        assert worker.read_result() == "ready"
        seconds = [worker.ask("step") for _ in range(2)]
        assert min(seconds) > 0
        assert worker.ask("details")["bytes_per_pixel"] >= 0


def test_worker_peak_is_at_least_the_previously_held_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_steps, "peak_bytes", lambda: 90)
    assert [timed_steps._read_peak("cpu", before) for before in (80, 100)] == [90, 100]


def test_worker_failure_contains_the_reason() -> None:
    with pytest.raises(InputError, match=r"Expected step of .* to be measured, but it failed with status 1: .*Nought"):
        measure(
            "step", network="VGG19", size=32, device="cpu", precision="32-true", optimizer="Adam", layers=["Nought"]
        )


def test_table_columns_have_equal_width() -> None:
    assert format_table(["a", "long"], [["word", "b"]]).splitlines() == [
        "| a    | long |",
        "|------|------|",
        "| word | b    |",
    ]
