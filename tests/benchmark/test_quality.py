import pytest

from nst_lightning.benchmark.quality import find_first_time, record_curve
from tests.benchmark.loops import create_loops


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
