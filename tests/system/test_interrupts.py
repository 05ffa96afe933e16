import signal
import threading

import pytest

from nst_lightning.system.interrupts import InterruptHandler


class InterruptedInDel:
    """Receives Ctrl-C in `__del__`, in which Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_interrupt_handler_remembers_ctrl_c_that_python_drops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with InterruptHandler() as interrupt:
        dropped = InterruptedInDel()
        del dropped
        assert interrupt.is_pressed
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_handler_raises_without_a_function() -> None:
    with pytest.raises(KeyboardInterrupt), InterruptHandler() as interrupt:
        signal.raise_signal(signal.SIGINT)
    assert interrupt.is_pressed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_handler_calls_a_function_first_and_raises_second() -> None:
    presses: list[int] = []
    with InterruptHandler(lambda: presses.append(1)):
        signal.raise_signal(signal.SIGINT)
        assert presses == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert presses == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_handler_does_nothing_in_another_thread() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def install() -> None:
        with InterruptHandler():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert seen == [before]
