from typing import Any

import pytest

from nst_lightning.data.plan import Position, Stage, next_position
from nst_lightning.training.private_api import set_loops
from nst_lightning.training.resume import CHECKPOINT_KEY, read_threads, read_tile, write_position
from nst_lightning.version import __version__

STAGES = [Stage(0, 16, 3), Stage(0, 32, 5)]


def create_loops(steps: int) -> dict[str, object]:
    return {
        "epoch_progress": {},
        "epoch_loop.batch_progress": {"is_last_batch": True, "total": {}, "current": {}},
        "epoch_loop.state_dict": {"_batches_that_stepped": 99},
        "epoch_loop.automatic_optimization.optim_progress": {"optimizer": {"step": {"total": {"completed": steps}}}},
    }


def test_resume_continues_with_the_next_stage_after_a_finished_one() -> None:
    assert next_position(Position(0, 2), STAGES) == Position(0, 2)
    assert next_position(Position(0, 3), STAGES) == Position(1, 0)
    assert next_position(Position(1, 5), STAGES) == Position(2, 0)


def test_resume_inside_a_stage_sets_counters_of_a_finished_step() -> None:
    kept = create_loops(5)
    set_loops(kept, stage=1, batch=2)
    epochs = {"ready": 2, "started": 2, "processed": 1, "completed": 1}
    assert kept["epoch_progress"] == {"total": epochs, "current": epochs}
    assert kept["epoch_loop.batch_progress"] == {
        "total": {"ready": 5, "started": 5, "processed": 5, "completed": 4},
        "current": {"ready": 2, "started": 2, "processed": 2, "completed": 1},
        "is_last_batch": False,
    }
    assert kept["epoch_loop.state_dict"] == {"_batches_that_stepped": 4}


def test_resume_at_the_start_of_a_stage_has_no_open_step() -> None:
    kept = create_loops(3)
    set_loops(kept, stage=1, batch=0)
    epochs = {"ready": 1, "started": 1, "processed": 1, "completed": 1}
    assert kept["epoch_progress"] == {"total": epochs, "current": epochs}
    assert kept["epoch_loop.state_dict"] == {"_batches_that_stepped": 3}


@pytest.mark.parametrize("threads", [1, 16])
def test_checkpoint_contains_the_number_of_threads(threads: int) -> None:
    checkpoint: dict[str, Any] = {}
    write_position(checkpoint, Position(1, 2), "Adam", threads=threads)
    assert read_threads(checkpoint) == threads


def test_checkpoint_without_threads_is_read() -> None:
    old: dict[str, Any] = {CHECKPOINT_KEY: {"version": "0.1.0", "stage": 0, "step": 2, "optimizer": "Adam"}}
    assert read_threads(old) is None
    assert read_threads({}) is None
    gpu: dict[str, Any] = {}
    write_position(gpu, Position(0, 2), "Adam")
    written: dict[str, Any] = {"version": __version__, "objectives": [], "tile": None}
    assert gpu == old | {CHECKPOINT_KEY: old[CHECKPOINT_KEY] | written}
    assert read_tile(old) is None
    assert read_tile({CHECKPOINT_KEY: {"tile": 512}}) == 512
