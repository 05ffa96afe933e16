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


def test_sigterm_is_handled_only_in_a_process_of_the_program() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with InterruptHandler():
        assert signal.getsignal(signal.SIGTERM) is before
    presses: list[int] = []
    with InterruptHandler(owns_process=True) as outer:
        with InterruptHandler(lambda: presses.append(1)) as inner:
            signal.raise_signal(signal.SIGTERM)
        assert (presses, inner.is_terminated, outer.is_terminated) == ([1], True, True)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("following", [signal.SIGTERM, signal.SIGINT])
def test_signals_shortly_after_sigterm_are_the_same_request(
    following: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with InterruptHandler(owns_process=True), InterruptHandler(lambda: None) as inner:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(following)
        assert inner.number == signal.SIGTERM
        monkeypatch.setattr("nst_lightning.system.interrupts.REPEAT_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(following)


def test_ctrl_c_is_not_reported_as_sigterm() -> None:
    with InterruptHandler(owns_process=True) as outer, InterruptHandler(lambda: None) as inner:
        signal.raise_signal(signal.SIGINT)
    assert outer.is_pressed
    assert not inner.is_terminated
