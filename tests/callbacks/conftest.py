from pathlib import Path

import pytest

from tests.helpers import write_pair


@pytest.fixture
def picture_files(empty_folder: Path) -> None:
    """A content and a style in an empty folder, which is the current one."""
    write_pair(empty_folder)
