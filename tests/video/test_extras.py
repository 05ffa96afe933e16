import sys

import pytest

from nst_lightning.errors import InputError
from nst_lightning.video.extras import import_extra


def test_missing_video_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r'PyAV.* is not installed: pip install "nst_lightning\[video\]"'):
        import_extra("av")
