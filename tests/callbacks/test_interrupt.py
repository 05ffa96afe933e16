import signal
from typing import Any

import lightning.pytorch as pl
import pytest

from nst_lightning.callbacks import (
    GracefulInterrupt,
)
from tests.callbacks.fits import fit_module
from tests.helpers import ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


def test_graceful_interrupt_ends_between_steps_and_restores_the_handler() -> None:
    class Press(pl.Callback):
        def on_train_batch_start(self, *unused: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    interrupt = GracefulInterrupt()
    module = fit_module(interrupt, Press(), steps=50)
    assert interrupt.interrupted
    assert module.trainer.global_step == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert fit_module(interrupt, steps=3).trainer.global_step == 3
    assert not interrupt.interrupted


@pytest.mark.parametrize("hook", ["on_train_start", "on_train_batch_end"])
def test_graceful_interrupt_restores_the_handler_after_an_error(hook: str) -> None:
    class Fail(pl.Callback):
        def __init__(self) -> None:
            setattr(self, hook, self._fail)

        def _fail(self, *unused: Any) -> None:
            raise ZeroDivisionError

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        fit_module(GracefulInterrupt(), Fail(), steps=5)
    assert signal.getsignal(signal.SIGINT) is before
