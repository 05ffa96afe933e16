import signal
import sys

import pytest

from nst_lightning.training.console import quiet_lightning


def exit_like_lightning() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(1)


def test_quiet_lightning_raises_keyboard_interrupt_after_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), quiet_lightning():
        exit_like_lightning()
    assert signal.getsignal(signal.SIGINT) is before


def test_quiet_lightning_keeps_other_exits() -> None:
    with pytest.raises(SystemExit) as caught, quiet_lightning():
        sys.exit(2)
    assert caught.value.code == 2
