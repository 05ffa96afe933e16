"""Runs of `fit` that paint films: files, frames and options."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from nst_lightning.samples.drawing.clip import RATE, Clip
from nst_lightning.samples.drawing.clip_file import write_flows
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective
from nst_lightning.video.film import Film
from nst_lightning.video.flicker import WarpingError
from nst_lightning.video.flow import DIS
from nst_lightning.video.occlusion import estimate_reliability
from nst_lightning.video.warp import warp
from nst_lightning.video.writer import Timing, write_film
from tests.cli.film_run import CLIP, read_events, read_film_summary, read_frames, run_folder
from tests.helpers import ENVIRONMENT
from tests.video.films import read_audio_packets, read_sound, write_truncated


def test_film_run_refuses_a_depth_of_16_bits(run_film: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_film("--depth=16") == 1
    assert "Expected `depth` to be 8 for a film, but got 16" in capsys.readouterr().err


def test_film_run_folder_contains_frames_film_and_summary(run_film: Any) -> None:
    assert run_film("--output=out/result.webm") == 0
    names = {str(path.relative_to(run_folder())) for path in run_folder().rglob("*") if path.is_file()}
    assert {f"frames/0000{number}.png" for number in range(5)} | {"film.mp4", "summary.json"} <= names
    assert "stylized.png" not in names
    assert not [name for name in names if "part" in name]
    for path in (run_folder() / "film.mp4", Path("out/result.webm")):
        film = Film(path)
        assert len(film) == 5
        assert float(film.info.end) == pytest.approx(5 / RATE, abs=0.02)
        assert read_sound(path)[1] == pytest.approx(5 / RATE, abs=0.06)
    assert set(read_audio_packets(run_folder() / "film.mp4")) <= set(read_audio_packets(Path("clip.mp4")))


def test_film_summary_equals_recomputed_values(run_film: Any) -> None:
    run_film()
    actual = read_film_summary()
    assert actual["frames"] == len(actual["per_frame"]) == 5
    assert [record["steps"] for record in actual["per_frame"]] == [4, 3, 3, 3, 3]
    assert [record["time"] for record in actual["per_frame"]] == pytest.approx([n / RATE for n in range(5)], abs=1e-3)
    assert actual["per_frame"][0]["warping_error"] is None
    assert set(actual["losses"]) == {"total", "content", "style", "disocclusion", "temporal"}
    last = actual["per_frame"][-1]["losses"]
    assert last["total"] == pytest.approx(sum(value for name, value in last.items() if name != "total"), rel=1e-5)
    assert last["disocclusion"] > 0
    assert actual["losses"]["style"] == pytest.approx(sum(r["losses"]["style"] for r in actual["per_frame"]) / 5)
    assert all(record["seconds"] > 0 for record in actual["per_frame"])
    assert actual["warping_error"] == pytest.approx(compute_flicker(), rel=1e-4)


def compute_flicker() -> float:
    film, frames, metric = Film(Path("clip.mp4")), read_frames(), WarpingError()
    for number in range(1, 5):
        now, then = (film.frame(n, 32, 40) for n in (number, number - 1))
        backward, forward = DIS().estimate(now, then, (0, 0)), DIS().estimate(then, now, (0, 0))
        metric.update(frames[number], frames[number - 1], backward, estimate_reliability(backward, forward))
    return float(metric.compute())


def test_tensorboard_contains_frames_and_curves_of_a_film(run_film: Any) -> None:
    run_film("--previews.every_n_steps=2", "--trainer.log_every_n_steps=1")
    tags = read_events().Tags()
    assert {"film/warping_error", "film/loss/style", "film/loss/content", "film/seconds"} <= set(tags["scalars"])
    assert [scalar.step for scalar in read_events().Scalars("film/warping_error")] == [1, 2, 3, 4]
    assert {"film/frame", "film/strip", "image/content", "image/style", "image/start"} <= set(tags["images"])
    assert [image.step for image in read_events().Images("film/frame")] == [0, 1, 2, 3, 4]
    assert (read_events().Images("film/strip")[0].width, read_events().Images("film/strip")[0].height) == (5 * 40, 32)
    assert len(read_events().Scalars("loss/temporal")) == 4 + 4 * 3


class StartRecorder(StyleTransfer):
    """Records the start image of each stage."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            STARTS.append(self.image.detach().clone())


STARTS: list[Tensor] = []


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    monkeypatch.setattr(StyleTransfer, "on_train_batch_start", StartRecorder.on_train_batch_start, raising=False)
    STARTS.clear()
    return STARTS


def test_frame_starts_from_the_previous_one_warped_along_the_flow(run_film: Any, starts: list[Tensor]) -> None:
    run_film()
    film = Film(Path("clip.mp4"))
    assert torch.equal(starts[0], film.frame(0, 32, 40))
    now, then = film.frame(3, 32, 40), film.frame(2, 32, 40)
    backward, forward = DIS().estimate(now, then, (3, 2)), DIS().estimate(then, now, (2, 3))
    mask, moved = estimate_reliability(backward, forward), warp(read_frames()[2], backward).clamp(0, 1)
    share = (1 + mask) / 2
    torch.testing.assert_close(starts[3], share * moved + (1 - share) * now)
    assert float(mask.mean()) > 0.3


def test_film_without_flow_equals_the_method_of_the_course_report(run_film: Any, starts: list[Tensor]) -> None:
    run_film(
        "--data.flow=none", "--data.blend=0.25", "--model.losses.temporal.offsets=[1]", "--trainer.log_every_n_steps=1"
    )
    frames = read_frames()
    torch.testing.assert_close(starts[2], 0.75 * Film(Path("clip.mp4")).frame(2, 32, 40) + 0.25 * frames[1])
    weight = yaml.safe_load((run_folder() / "config.yaml").read_text())["model"]["losses"]["temporal"]["init_args"][
        "weight"
    ]
    expected = weight * torch.nn.functional.mse_loss(starts[2], frames[1])
    steps = {scalar.step: scalar.value for scalar in read_events().Scalars("loss/temporal")}
    assert steps[4 + 3] == pytest.approx(float(expected), rel=1e-4)


def test_film_without_blending_starts_each_frame_from_its_content(run_film: Any, starts: list[Tensor]) -> None:
    run_film("--data.blend=0")
    assert all(
        torch.equal(start, frame) for start, frame in zip(starts, Film(Path("clip.mp4")).frames(32, 40), strict=True)
    )


def test_film_starts_again_at_a_cut(run_film: Any, starts: list[Tensor]) -> None:
    other = Clip(3, 40, 32, background="landscape", ball=None)
    frames = [CLIP.picture(n) for n in range(3)] + [other.picture(n) for n in range(3)]
    write_film(Path("cut.mp4"), iter(frames), Timing([n / RATE for n in range(6)], 6 / RATE))  # type: ignore[misc, arg-type]
    assert run_film("--data.content=cut.mp4", "--data.plan.ladder=octaves", "--data.plan.smallest=20") == 0
    shapes = [tuple(start.shape[-2:]) for start in starts]
    assert shapes == [(16, 20), (32, 40), (32, 40), (32, 40), (16, 20), (32, 40), (32, 40), (32, 40)]
    assert [record["steps"] for record in read_film_summary()["per_frame"]] == [4, 3, 3, 4, 3, 3]
    assert [record["warping_error"] is None for record in read_film_summary()["per_frame"]] == [True, False, False] * 2
    assert read_film_summary()["per_frame"][3]["losses"]["temporal"] == 0


def test_style_targets_of_a_film_are_computed_once(run_film: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = Objective._set_targets

    def record_target(self: Objective, reference: Any, *rest: Any) -> None:
        made.append(reference)
        original(self, reference, *rest)

    monkeypatch.setattr(Objective, "_set_targets", record_target)
    run_film()
    assert made.count("style") == 1
    assert made.count("content") == 5


def test_frame_selection_keeps_times_and_sound(run_film: Any) -> None:
    assert (
        run_film("--data.first=1", "--data.last=4", "--data.stride=2", "--data.compare=true", "--output=result.mkv")
        == 0
    )
    assert len(read_frames()) == 2
    film = Film(run_folder() / "film.mp4")
    assert [float(time) for time in film.info.times] == pytest.approx([0, 2 / RATE], abs=1e-3)
    assert float(film.info.end) == pytest.approx(4 / RATE, abs=0.01)
    assert read_sound(run_folder() / "film.mp4")[1] == pytest.approx(4 / RATE, abs=0.06)
    for path in (run_folder() / "film_compare.mp4", Path("result_compare.mkv")):
        both = Film(path).frame(1, 32, 80)
        assert float((both[..., :40] - Film(Path("clip.mp4")).frame(3, 32, 40)).abs().mean()) < 0.04
        assert float((both[..., 40:] - read_frames()[1]).abs().mean()) < 0.06


@pytest.mark.parametrize("kind", ["folder", "gif", "webp"])
def test_film_formats_are_read_and_written(kind: str, run_film: Any) -> None:
    path = Path("frames" if kind == "folder" else f"film.{kind}")
    write_film(path, (CLIP.picture(n) for n in range(3)), Timing([n / RATE for n in range(3)], 3 / RATE))  # type: ignore[misc, arg-type]
    assert run_film(f"--data.content={path}", "--data.frame_rate=12", f"--output=out{path.suffix}") == 0
    assert len(Film(Path(f"out{path.suffix}"))) == 3
    with pytest.raises(ValueError, match="not enough values"):
        read_sound(run_folder() / "film.mp4")


@pytest.mark.parametrize("flow", ["exact", "DIS", "none"])
def test_flow_option_accepts_names_classes_and_files(flow: str, run_film: Any) -> None:
    write_flows(Path("flows"), CLIP, (1, 2, 4, 8))
    option = {
        "exact": "flows/{frame}_{to}.flo",
        "DIS": "{class_path: nst_lightning.video.flow.DIS, init_args: {preset: fast}}",
        "none": "none",
    }[flow]
    assert run_film(f"--data.flow={option}") == 0
    assert read_film_summary()["warping_error"] > 0


def test_truncated_film_is_painted_up_to_its_end(run_film: Any, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = Clip(frames=36, width=40, height=32, pan=1, ball=None, noise=0.1)
    write_film(Path("whole.mp4"), (noisy.picture(n) for n in range(36)), Timing([n / RATE for n in range(36)], 3))  # type: ignore[misc, arg-type]
    write_truncated(Path("short.mp4"), Path("whole.mp4"), 0.3)
    assert run_film("--data.content=short.mp4", "--data.plan.following_steps=1") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error"))
    assert re.search(r"short.mp4 is incomplete: it (ends|is damaged) after .*The frames before that are painted", line)
    assert 0 < len(read_frames()) < 36
    assert len(Film(run_folder() / "film.mp4")) == len(read_frames())


MISTAKES = [
    (["--data.content=text.mp4"], 1, "text.mp4 is not a film that can be read"),
    (["--data.content=nowhere.mov"], 1, "there is none at nowhere.mov"),
    (["--data.first=9"], 1, "has 5 frames: lower data.first"),
    (["--data.stride=0"], 1, "Expected `stride` to be 1 or more"),
    (["--data.blend=2"], 1, "Expected `blend` to be from 0 to 1"),
    (["--data.frame_rate=0"], 1, "Expected `frame_rate`"),
    (["--data.flow=magic"], 1, "Expected `flow` to be none, dis, raft, or the path"),
    (["--data.flow=flows/{frame}_{to}.flo"], 1, "no such file: --data.flow dis computes it"),
    (["--data.flow=other/{frame}_{to}.flo"], 1, "optical flow of 40x32 px, the size of the painted frames, but"),
    (["--data.plan.size=1", "--data.flow=none"], 1, "raise data.plan.size or use shallower layers"),
    (["--data.plan.size=10"], 1, "at least 16 px each way for optical flow"),
    (["--output=film.jpg"], 1, "Expected a film that ends in .mp4"),
    (["--model.losses.temporal.offsets=[0]"], 1, "Expected `offsets`"),
]


@pytest.mark.parametrize(("args", "status", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_invalid_film_option_is_an_error_of_one_line(
    run_film: Any, capsys: pytest.CaptureFixture[str], args: list[str], status: int, message: str
) -> None:
    Path("text.mp4").write_text("hello")
    write_flows(Path("other"), Clip(5, 30, 20), (1, 2, 4, 8))
    assert run_film(*args) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not Path("logs").exists(), "a run that cannot begin leaves no folder"


@pytest.mark.parametrize("module", ["av", "cv2"])
def test_missing_video_package_is_named(
    module: str, run_film: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert run_film() == 1
    assert 'pip install "nst_lightning[video]"' in capsys.readouterr().err


def test_video_packages_are_not_imported_for_stills() -> None:
    code = "import sys; import nst_lightning.cli.transfer_cli; sys.exit(bool({'av', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


def test_film_without_a_logger_writes_only_the_output(run_film: Any) -> None:
    assert run_film("--trainer.logger=false", "--output=result") == 0
    assert {path.name for path in Path().iterdir()} == {"clip.mp4", "style.png", "result"}
    assert len(list(Path("result").iterdir())) == 5
