"""The logic of the drift test, on samples whose drift is known."""

from collections.abc import Callable

import pytest

from tests.drift.__main__ import create_runs, format_table
from tests.drift.samples import Drift, Sample


def create_samples(memory: Callable[[int], int], handles: Callable[[int], int], power: float) -> list[Sample]:
    """Returns samples of 1000 steps; the time so far is a power of the steps."""
    return [Sample(step, float(step) ** power, memory(step), handles(step)) for step in range(10, 1001, 10)]


def test_constant_run_does_not_drift() -> None:
    # What is allocated before the first tenth ends does not count.
    drift = Drift.measure(create_samples(lambda step: 100 if step < 100 else 200, lambda step: 7, 1.0), 1000)
    assert drift.memory_growth == drift.time_growth == 0
    assert drift.handles == (7, 7)
    assert drift.list_failures() == []


@pytest.mark.parametrize(
    ("samples", "failures"),
    [
        (create_samples(lambda step: 10_000 + step, lambda step: 7, 1.0), ["memory"]),
        (create_samples(lambda step: 100, lambda step: 7 + step // 500, 1.0), ["handles"]),
        (create_samples(lambda step: 100, lambda step: 7, 1.2), ["time"]),
    ],
)
def test_growth_is_found(samples: list[Sample], failures: list[str]) -> None:
    drift = Drift.measure(samples, 1000)
    assert drift.list_failures() == failures
    assert format_table({"a": (1000, 5.0, drift)}).endswith(f"| {failures[0]} |")


def test_too_few_samples_are_an_error() -> None:
    samples = create_samples(lambda step: 100, lambda step: 7, 1.0)
    with pytest.raises(ValueError, match=r"from 0\.9 to 1 of the run"):
        Drift.measure(samples[:80], 1000)


def test_film_has_the_steps_of_its_frames() -> None:
    assert create_runs(100, 3)["film"].steps == 20 + 2 * 8
