import pytest

from nst_lightning.benchmark.worker import measure, start_worker
from nst_lightning.errors import InputError


def test_worker_continues_on_request() -> None:
    with start_worker("reference", size=32, device="cpu", history=10) as worker:
        assert worker.read_result() == "ready"
        seconds = [worker.ask("step") for _ in range(2)]
        assert min(seconds) > 0
        assert worker.ask("details")["bytes_per_pixel"] >= 0


def test_worker_failure_contains_the_reason() -> None:
    with pytest.raises(InputError, match=r"Expected step of .* to be measured, but it failed with status 1: .*Nought"):
        measure(
            "step", network="VGG19", size=32, device="cpu", precision="32-true", optimizer="Adam", layers=["Nought"]
        )
