"""Stages that end before their last planned step."""

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from nst_lightning.callbacks import ImageAveraging
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture
from nst_lightning.losses import ContentLoss, GramLoss, Loss
from nst_lightning.training.convergence import StageObjectives, has_flattened
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.resume import CHECKPOINT_KEY
from nst_lightning.training.run_state import RunState
from tests.helpers import TinyBackbone, ignore_lightning_warnings, random_image, smooth_image

pytestmark = ignore_lightning_warnings

CONTENT, STYLE = Picture(smooth_image(48, 64, seed=1)), Picture(random_image(30, 36, seed=2))
PLAN: dict[str, Any] = {"size": 64, "steps": 45, "ladder": "octaves", "smallest": 32}
TOLERANCE = 0.15


class Recorder(pl.Callback):
    """Records the objective and the stage of every training step, and the numbers of the run."""

    def __init__(self) -> None:
        self.objectives: list[tuple[int, float]] = []
        self.done: list[int] = []
        self.planned = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        run = RunState.of(trainer)
        self.objectives.append((trainer.current_epoch, float(run.terms["total"])))
        if run.is_stage_done:
            self.done.append(run.step)
        self.planned = run.planned_steps


def fit(
    plan: dict[str, Any],
    checkpoint: Path | None = None,
    save: Path | None = None,
    average: bool = False,
    **options: Any,
) -> tuple[StyleTransfer, pl.Trainer, Recorder]:
    """Paints, from a checkpoint if there is one, and saves a checkpoint at the end if it has a path."""
    losses: dict[str, Loss] = {"content": ContentLoss(["conv_2"]), "style": GramLoss(["conv_1", "conv_3"], weight=1e3)}
    module, recorder = StyleTransfer(TinyBackbone(), losses), Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*([ImageAveraging(0.8)] if average else []), recorder],
        **options,
    )
    trainer.fit(module, datamodule=TransferData.from_pictures(CONTENT, [STYLE], Plan(**plan)), ckpt_path=checkpoint)
    if save is not None:
        trainer.save_checkpoint(save)
    return module, trainer, recorder


def find_stage_end(objectives: list[float], tolerance: float) -> int:
    """The rule of the plan as a loop over all objectives of a stage: the number of its steps."""
    for k in range(10, len(objectives), 10):
        if objectives[k - 10] - objectives[k] < tolerance * abs(objectives[k - 10]):
            return k + 1
    return len(objectives)


def test_has_flattened_compares_the_fall_with_the_share() -> None:
    assert has_flattened(100.0, 99.5, 0.01)
    assert not has_flattened(100.0, 98.5, 0.01)
    assert not has_flattened(100.0, 99.0, 0.01)
    assert has_flattened(100.0, 101.0, 0.0)
    assert not has_flattened(100.0, 100.0, 0.0)
    assert has_flattened(-1.0, -1.001, 0.01)
    assert not has_flattened(math.nan, 1.0, 0.5)
    assert not has_flattened(1.0, math.nan, 0.5)


def test_has_flattened_does_not_depend_on_the_scale() -> None:
    pairs = [(3.0, later / 10) for later in range(40)]
    assert [has_flattened(f, g, 0.25) for f, g in pairs] == [has_flattened(8 * f, 8 * g, 0.25) for f, g in pairs]


def test_stage_objectives_keep_two_numbers_ten_evaluations_apart() -> None:
    objectives = StageObjectives()
    for evaluation in range(35):
        objectives.record(evaluation, torch.tensor(100.0 - 2 * min(evaluation, 20) - max(0, evaluation - 20) / 10))
        steps = evaluation + 1
        assert objectives.has_converged(steps, 0.12) == (steps == 31), steps
        assert not objectives.has_converged(steps, None)
        assert len(objectives.values()) == (1 if steps <= 10 else 2)
        assert StageObjectives(objectives.values()).has_converged(steps, 0.12) == (steps == 31)
    assert objectives.values() == [60.0, 59.0]


@pytest.mark.parametrize("tolerance", [-0.01, math.nan, math.inf, 1.0])
def test_plan_rejects_invalid_tolerances(tolerance: float) -> None:
    with pytest.raises(InputError, match=r"`plan\.tolerance` to be from 0 to below 1, or null, but got"):
        Plan(tolerance=tolerance)


@pytest.mark.parametrize("tolerance", [0.02, TOLERANCE, 0.9])
def test_stage_ends_where_a_loop_over_all_objectives_says(tolerance: float) -> None:
    plan = PLAN | {"ladder": "none"}
    whole, ended = fit(plan)[2], fit(plan | {"tolerance": tolerance})[2]
    objectives = [objective for _, objective in whole.objectives]
    assert [objective for _, objective in ended.objectives] == objectives[: find_stage_end(objectives, tolerance)]


def test_run_that_ends_early_counts_the_steps_that_it_made() -> None:
    module, trainer, recorder = fit(PLAN | {"tolerance": TOLERANCE})
    stages = [[objective for stage, objective in recorder.objectives if stage == number] for number in (0, 1)]
    steps = [len(objectives) for objectives in stages]
    assert steps == [find_stage_end(objectives, TOLERANCE) for objectives in stages]
    assert 11 <= min(steps) <= max(steps) < 45
    assert recorder.done == [steps[0], sum(steps)]
    assert trainer.global_step == recorder.planned == sum(steps)
    assert module.image.shape == (1, 3, 48, 64)


@pytest.mark.parametrize("iterations", [3, 10, 50])
def test_iterations_per_step_do_not_change_where_a_stage_ends(iterations: int) -> None:
    plan = PLAN | {"tolerance": TOLERANCE}
    module, trainer, recorder = fit(plan)
    together, other, other_recorder = fit(plan | {"iterations_per_step": iterations})
    assert other.global_step == trainer.global_step
    assert other_recorder.done == recorder.done
    assert other_recorder.objectives[-1] == recorder.objectives[-1]
    assert torch.equal(together.image, module.image)


@pytest.mark.parametrize(("average", "every"), [(False, 1), (True, 5)])
def test_resumed_run_ends_in_the_same_bits_after_every_step(average: bool, every: int, tmp_path: Path) -> None:
    plan, path = PLAN | {"tolerance": TOLERANCE}, tmp_path / "cut.ckpt"
    whole, trainer, recorder = fit(plan, average=average)
    total = trainer.global_step
    for cut in range(1, total, every):
        fit(plan, save=path, average=average, max_steps=cut)
        resumed, other, other_recorder = fit(plan, path, average=average)
        assert other.global_step == other_recorder.planned == total, cut
        assert other_recorder.done == [step for step in recorder.done if step > cut], cut
        assert torch.equal(resumed.image, whole.image), cut


def test_checkpoint_of_a_converged_stage_continues_without_tolerance(tmp_path: Path) -> None:
    plan, path = PLAN | {"ladder": "none"}, tmp_path / "ended.ckpt"
    whole = fit(plan)[0]
    ended, trainer, _ = fit(plan | {"tolerance": TOLERANCE}, save=path)
    steps = trainer.global_step
    assert steps < 45
    # With the same tolerance there is nothing left, however long the plan.
    resumed, again, _ = fit(plan | {"tolerance": TOLERANCE, "steps": 60}, path)
    assert again.global_step == steps
    assert torch.equal(resumed.image, ended.image)
    resumed, again, _ = fit(plan, path)
    assert again.global_step == 45
    assert torch.equal(resumed.image, whole.image)
    resumed, again, _ = fit(plan | {"tolerance": 1e-6}, path)
    assert again.global_step == 45
    assert torch.equal(resumed.image, whole.image)


def test_checkpoint_holds_float64_objectives_and_an_old_one_none(tmp_path: Path) -> None:
    plan, path = PLAN | {"ladder": "none"}, tmp_path / "cut.ckpt"
    _, _, recorder = fit(plan, save=path, max_steps=25)
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    assert checkpoint[CHECKPOINT_KEY]["objectives"] == [recorder.objectives[k][1] for k in (10, 20)]
    del checkpoint[CHECKPOINT_KEY]["objectives"]
    torch.save(checkpoint, path)
    # Nothing is compared before the second of the two objectives of the resumed run.
    _, trainer, _ = fit(plan | {"tolerance": 0.9}, path)
    assert trainer.global_step == 41


def test_second_fit_of_a_module_starts_from_the_beginning() -> None:
    images: list[Tensor] = []
    losses: dict[str, Loss] = {"content": ContentLoss(["conv_2"]), "style": GramLoss(["conv_1", "conv_3"], weight=1e3)}
    module = StyleTransfer(TinyBackbone(), losses)
    data = TransferData.from_pictures(CONTENT, [STYLE], Plan(**PLAN, tolerance=TOLERANCE))
    for _ in range(2):
        pl.Trainer(
            accelerator="cpu",
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, datamodule=data)
        images.append(module.image.detach().clone())
    assert torch.equal(*images)
