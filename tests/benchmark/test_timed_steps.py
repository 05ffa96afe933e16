import pytest

from nst_lightning.benchmark import timed_steps


def test_worker_peak_is_at_least_the_previously_held_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_steps, "peak_bytes", lambda: 90)
    assert [timed_steps._read_peak("cpu", before) for before in (80, 100)] == [90, 100]
