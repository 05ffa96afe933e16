import pytest

from tests.callbacks.summaries import paint_and_read_summary
from tests.helpers import TRANSFER_TERMS

pytestmark = pytest.mark.usefixtures("picture_files")


def test_summary_contains_steps_size_terms_and_curves() -> None:
    summary = paint_and_read_summary("--data.plan.steps=5", name="a")
    assert (summary["steps"], summary["planned"], summary["starts"]) == (5, 5, 1)
    assert summary["size"] == [32, 24]
    assert summary["seconds"] > 0
    assert set(summary["losses"]) == {"total", *TRANSFER_TERMS}
    assert summary["losses"]["total"] == pytest.approx(
        sum(summary["losses"][term] for term in TRANSFER_TERMS), rel=1e-4
    )
    assert summary["curves"]["step"] == [1, 2, 3, 4, 5]
    assert all(curve[-1] == summary["losses"][name] for name, curve in summary["curves"].items() if name != "step")


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
