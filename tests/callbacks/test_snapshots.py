import pytest

from nst_lightning.callbacks import SnapshotWriter
from nst_lightning.errors import InputError
from nst_lightning.images.io import read_image
from tests.callbacks.summaries import paint_and_read_summary

pytestmark = pytest.mark.usefixtures("picture_files")


def test_snapshots_equal_results_of_shorter_runs() -> None:
    paint_and_read_summary("--data.plan.steps=4", "--snapshots.at_steps=[2,4]", name="a")
    paint_and_read_summary("--data.plan.steps=2", name="b")
    on_the_way = read_image("logs/a/version_0/step_000002.png").image
    assert on_the_way.equal(read_image("logs/b/version_0/stylized.png").image)
    assert read_image("logs/a/version_0/step_000004.png").image.equal(read_image("logs/a/version_0/stylized.png").image)


def test_snapshots_reject_step_zero() -> None:
    with pytest.raises(InputError, match="at_steps"):
        SnapshotWriter([0])
