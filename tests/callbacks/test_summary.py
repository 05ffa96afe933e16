import json
from pathlib import Path
from typing import Any

import pytest

from nst_lightning.__main__ import main
from nst_lightning.callbacks import SnapshotWriter
from nst_lightning.errors import InputError
from nst_lightning.images.io import read_image
from tests.cli.test_cli import QUICK, ROOT, TERMS
from tests.helpers import write_pair


def paint_and_read_summary(*args: str, name: str) -> dict[str, Any]:
    recipe = f"--config={ROOT / 'configs' / 'transfer.yaml'}"
    pictures = ["--data.content=content.png", "--data.style=style.png"]
    assert main(["fit", recipe, *QUICK, *pictures, f"--trainer.logger.init_args.name={name}", *args]) == 0
    found: dict[str, Any] = json.loads(Path("logs", name, "version_0", "summary.json").read_text())
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)


def test_summary_contains_steps_size_terms_and_curves() -> None:
    made = paint_and_read_summary("--data.plan.steps=5", name="a")
    assert (made["steps"], made["planned"], made["starts"]) == (5, 5, 1)
    assert made["size"] == [32, 24]
    assert made["seconds"] > 0
    assert set(made["losses"]) == {"total", *TERMS}
    assert made["losses"]["total"] == pytest.approx(sum(made["losses"][term] for term in TERMS), rel=1e-4)
    assert made["curves"]["step"] == [1, 2, 3, 4, 5]
    assert all(curve[-1] == made["losses"][name] for name, curve in made["curves"].items() if name != "step")


def test_summary_thins_long_curves_and_keeps_their_ends() -> None:
    steps = paint_and_read_summary("--data.plan.steps=450", "--data.plan.size=16", name="a")["curves"]["step"]
    assert steps[0] == 1
    assert steps[-1] == 450
    assert len(steps) <= 230


def test_summary_of_a_resumed_run_equals_that_of_a_whole_run() -> None:
    whole = paint_and_read_summary("--data.plan.steps=6", name="whole")
    paint_and_read_summary("--data.plan.steps=6", "--trainer.max_steps=3", name="cut")
    resumed = paint_and_read_summary("--data.plan.steps=6", "--ckpt_path=last", name="cut")
    assert resumed["starts"] == 2
    # The end of the first half is an additional point.
    assert resumed["curves"]["total"][-3:] == whole["curves"]["total"][-3:]
    assert resumed["losses"] == whole["losses"]


def test_snapshots_equal_results_of_shorter_runs() -> None:
    paint_and_read_summary("--data.plan.steps=4", "--snapshots.at_steps=[2,4]", name="a")
    paint_and_read_summary("--data.plan.steps=2", name="b")
    on_the_way = read_image("logs/a/version_0/step_000002.png").image
    assert on_the_way.equal(read_image("logs/b/version_0/stylized.png").image)
    assert read_image("logs/a/version_0/step_000004.png").image.equal(read_image("logs/a/version_0/stylized.png").image)


def test_snapshots_reject_step_zero() -> None:
    with pytest.raises(InputError, match="at_steps"):
        SnapshotWriter([0])
