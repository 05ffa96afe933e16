import signal
import sys

import pytest

from nst_lightning.training.console import quiet_lightning


def end_as_lightning_does() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(1)


def test_ctrl_c_is_raised_where_lightning_exits() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), quiet_lightning():
        end_as_lightning_does()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_exits_are_exits() -> None:
    with pytest.raises(SystemExit) as caught, quiet_lightning():
        sys.exit(2)
    assert caught.value.code == 2
