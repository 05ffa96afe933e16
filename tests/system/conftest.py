from pathlib import Path

import pytest

from tests.system.fake_machine import FakeMachine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    """A machine with two cores, whose counters the test advances."""
    return FakeMachine(monkeypatch, tmp_path)
