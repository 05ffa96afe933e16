"""`--threads` of `fit`."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nst_lightning.system import threads
from nst_lightning.system.processor_load import LoadMeter
from nst_lightning.training.resume import CHECKPOINT_KEY
from tests.cli.transfer_run import read_checkpoint, run_folder
from tests.helpers import fake_threads


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch would use two threads."""
    fake_threads(monkeypatch, 2)


def set_load(monkeypatch: pytest.MonkeyPatch, free: float, cores: float = 2.0) -> None:
    """Makes other processes leave a number of cores free."""
    monkeypatch.setattr(LoadMeter, "free_cores", lambda self: free)
    monkeypatch.setattr(threads, "total_cores", lambda: cores)


def read_numbers(number: int = 0) -> tuple[Any, Any]:
    """Returns the number of threads in the configuration and in the checkpoint of a run."""
    config = yaml.safe_load((run_folder(number) / "config.yaml").read_text())
    return config["threads"], read_checkpoint(number)[CHECKPOINT_KEY]["threads"]


def test_auto_paints_with_one_thread_on_a_busy_machine(
    run_transfer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_load(monkeypatch, free=1.0)
    assert run_transfer() == 0
    assert read_numbers() == (1, 1)
    out = capsys.readouterr().out
    line = "Other processes use about 1.0 of 2 cores: painting with 1 thread; --threads 2 uses all."
    assert out.splitlines().count(line) == 1
    assert torch.get_num_threads() == 2


def test_auto_uses_all_cores_of_an_idle_machine(
    run_transfer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_load(monkeypatch, free=2.0)
    assert run_transfer() == 0
    assert read_numbers() == (2, 2)
    assert "thread" not in capsys.readouterr().out


def test_given_number_of_threads_is_used_and_stored(run_transfer: Any) -> None:
    assert run_transfer("--threads=2") == 0
    assert read_numbers() == (2, 2)


def test_number_of_threads_of_a_saved_configuration_is_repeated(
    run_transfer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_load(monkeypatch, free=1.0)
    assert run_transfer() == 0
    set_load(monkeypatch, free=2.0)
    assert run_transfer(f"--config={run_folder()}/config.yaml") == 0
    assert read_numbers(1) == (1, 1)


@pytest.mark.parametrize(("at_first", "later"), [(1.0, 2.0), (2.0, 0.0)])
def test_resumed_run_honors_the_stored_threads_bitwise(
    run_transfer: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    at_first: float,
    later: float,
) -> None:
    set_load(monkeypatch, at_first)
    assert run_transfer("--data.plan.steps=4") == 0
    assert run_transfer("--data.plan.steps=4", "--trainer.max_steps=2") == 0
    set_load(monkeypatch, later)
    capsys.readouterr()
    path = f"--ckpt_path={run_folder(1)}/checkpoints/last.ckpt"
    # Both ways to name the checkpoint.
    assert run_transfer("--data.plan.steps=4", path if at_first == 1.0 else "--ckpt_path=last") == 0
    assert "thread" not in capsys.readouterr().out
    resumed = 2 if at_first == 1.0 else 1
    assert read_numbers(resumed) == read_numbers(0)
    assert torch.equal(read_checkpoint(resumed)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])


def test_given_number_wins_over_the_stored_one_and_is_announced(
    run_transfer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_transfer("--threads=1", "--data.plan.steps=4", "--trainer.max_steps=2") == 0
    capsys.readouterr()
    assert run_transfer("--threads=2", "--data.plan.steps=4", "--ckpt_path=last") == 0
    assert read_numbers() == (2, 2)
    assert (
        "The checkpoint was painted with 1 thread, this run continues with 2: the result may differ in the last bits."
        in capsys.readouterr().out.splitlines()
    )


def test_old_checkpoint_without_threads_resumes_with_the_setting_of_torch(
    run_transfer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_load(monkeypatch, free=0.0)
    assert run_transfer("--threads=2", "--data.plan.steps=4") == 0
    assert run_transfer("--threads=2", "--data.plan.steps=4", "--trainer.max_steps=2") == 0
    path = Path(run_folder(1), "checkpoints", "last.ckpt")
    old = read_checkpoint(1)
    del old[CHECKPOINT_KEY]["threads"]
    torch.save(old, path)
    capsys.readouterr()
    assert run_transfer("--data.plan.steps=4", "--ckpt_path=last") == 0
    assert "thread" not in capsys.readouterr().out
    assert read_numbers(1) == (2, 2)
    assert torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_number_of_threads_is_positive(run_transfer: Any, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_transfer(f"--threads={number}") == 2
    assert len(error := capsys.readouterr().err.splitlines()) == 1
    assert "threads" in error[0]
    assert not run_folder().exists()
