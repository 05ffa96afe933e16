import signal

import pytest

from nst_lightning.study.engine.interrupt_flag import InterruptFlag


class Dropped:
    """Gets Ctrl-C while it is cleaned up, where Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_drops_is_remembered() -> None:
    before = signal.getsignal(signal.SIGINT)
    with InterruptFlag() as interrupt:
        dropped = Dropped()
        del dropped
        assert interrupt.is_pressed
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_raised_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt), InterruptFlag() as interrupt:
        signal.raise_signal(signal.SIGINT)
    assert interrupt.is_pressed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
