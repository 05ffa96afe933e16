from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import write_pair
from tests.robustness.refusals import FIT, assert_refused


@pytest.fixture
def refuse(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `fit` on two small pictures with further options, one of which cannot be used."""
    write_pair(empty_folder)
    return lambda options, *texts: assert_refused(capsys, [*FIT, *options], *texts)
