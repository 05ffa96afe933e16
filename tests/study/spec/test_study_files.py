from pathlib import Path

import pytest

from nst_lightning.errors import UsageError
from nst_lightning.study.spec.study_files import read_study

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize(
    "text", ["- a list", "title: [", "sections: {a: 1}", "sections: [3]", "sections: [{title: x}]", "data: [1]"]
)
def test_read_study_rejects_other_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UsageError, match="Expected"):
        read_study(["study.yaml"])
