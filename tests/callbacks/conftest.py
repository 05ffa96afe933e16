from pathlib import Path

import pytest

from tests.helpers import write_pair


@pytest.fixture(autouse=True)
def pictures(empty_folder: Path) -> None:
    """A content and a style in the current folder."""
    write_pair(empty_folder)
