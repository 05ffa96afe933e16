"""The run: one image, optimized against frozen features."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from nst_lightning.backbones.base import Backbone
from nst_lightning.data.plan import Position, Stage, next_position
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.resize import resize
from nst_lightning.losses.base import Loss, total
from nst_lightning.optim import CompactLBFGS, keep_within
from nst_lightning.optim.state import resize_state
from nst_lightning.training.cuda_graphs import Evaluation, record_graph
from nst_lightning.training.initialization import initial_image
from nst_lightning.training.objective import Objective, PartName
from nst_lightning.training.resume import count_steps, read_position, set_loops, stage_number, write_position


def lbfgs(parameters: Iterable[Tensor]) -> Optimizer:
    """The L-BFGS that paints unless another optimizer is given."""
    return CompactLBFGS(parameters)


class StyleTransfer(pl.LightningModule):
    """An image whose pixels are optimized until its features are those that the terms of the objective ask for.

    The image is the only trained parameter and, with the optimizer's state, all that a checkpoint holds. Lightning's
    epoch is a stage of the plan: one picture at one size.

    Args:
        backbone: the frozen network whose features the terms compare.
        losses: the terms of the objective by name. A name is the curve's in TensorBoard, `loss/NAME`, and the shell's,
            `--model.losses.NAME.weight 10`. Style transfer has a content and a style term, content reconstruction the
            first alone, texture synthesis the second alone.
        initialization: what the image is before the first step: `content`, `style`, `noise` (uniform), `gaussian`, or
            an image file. Noise comes from `seed_everything`.
        optimizer: what changes the image: L-BFGS with one evaluation a step unless given. Others, such as Adam, have
            the image clipped to [0, 1] after each step.
        layer_curves_every_n_steps: how often the parts of each term, `layers/NAME/LAYER`, are logged.
        cuda_graphs: whether a GPU records the evaluation at the start of each stage and then replays it, which saves
            the starting of hundreds of small operations. For large GPUs and small pictures.
    """

    def __init__(
        self,
        backbone: Backbone,
        losses: dict[str, Loss],
        initialization: str = "content",
        optimizer: OptimizerCallable = lbfgs,
        layer_curves_every_n_steps: int = 50,
        cuda_graphs: bool = False,
    ) -> None:
        super().__init__()
        if layer_curves_every_n_steps < 1:
            raise InputError(
                f"Expected `layer_curves_every_n_steps` to be positive, but got {layer_curves_every_n_steps}."
            )
        self.objective = Objective(backbone, losses)
        self.initialization = initialization
        self.optimizer = optimizer
        self.layer_curves_every_n_steps = layer_curves_every_n_steps
        self.cuda_graphs = cuda_graphs
        self._evaluate: Evaluation[PartName] = self.objective.flat_parts
        self._stage: Stage | None = None
        self.stage_step, self.step_evaluations, self._to_come = 0, 1, 0
        self.terms: dict[str, Tensor] = {}
        self._set_image(torch.zeros(1, 3, 1, 1))

    def criterion(self, image: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the objective, scalars; the objective is their sum. Needs no Trainer.

        Args:
            image: ``(batch, 3, height, width)`` in [0, 1].
        """
        terms: dict[str, Tensor] = self.objective(image)
        return terms

    def set_targets(self, pictures: StagePictures, keep_style: bool = False) -> None:
        """Sets the targets of the losses; see :meth:`Objective.set_targets`."""
        self.objective.set_targets(pictures.to(self.device), keep_style)

    def setup(self, stage: str) -> None:
        """Makes the image of the first stage; see :meth:`first_image`."""
        self._stage, self.stage_step, self.terms = None, 0, {}
        self._data().resume_at(Position(0, 0))
        self._set_image(self.first_image(self._data()))

    def first_image(self, data: TransferData) -> Tensor:
        """The image before the first step, ``(1, 3, height, width)`` in [0, 1], on the CPU.

        Raises:
            InputError: these pictures do not serve this objective.
        """
        data.require_previous_frames(self.objective.offsets)
        first = data.stages[0]
        pictures = data.pictures(first)
        self.objective.check(pictures)
        image = self._start(pictures, data.shape(first))
        self.objective.check_image(image)
        return image

    def _start(self, pictures: StagePictures, shape: tuple[int, int]) -> Tensor:
        """What a picture starts from."""
        if pictures.start is not None:
            return pictures.start
        style = pictures.styles[0] if pictures.styles else None
        return initial_image(self.initialization, pictures.content, style, *shape, torch.initial_seed())

    def configure_optimizers(self) -> Optimizer:
        """The optimizer over the image alone: L-BFGS would drag a network's weights through its history."""
        return keep_within(self.optimizer([self.image]))

    def on_train_start(self) -> None:
        """Enters the stage of a new or resumed run."""
        self.enter_stage(within=self.stage_step > 0)

    def on_train_epoch_start(self) -> None:
        """Enters the next stage."""
        self.enter_stage()

    def enter_stage(self, within: bool = False) -> None:
        """Readies image and targets for the stage that Lightning's current epoch is; once for each stage.

        Args:
            within: whether some of the stage's steps are made already, so that the image has to stay as it is.
        """
        data, number = self._data(), self.trainer.current_epoch
        stage = data.stages[number]
        if stage == self._stage:
            return
        pictures, shape = data.pictures(stage), data.shape(stage)
        if not within and number > 0 and data.stages[number - 1].frame != stage.frame:
            self._replace_image(self._start(pictures, shape))
        elif self.image.shape[-2:] != shape:
            self._resize(*shape)
        # Targets see the precision of the steps, so that the content has no distance from itself.
        with self.trainer.precision_plugin.forward_context():
            self.enter_targets(data, stage, pictures)
            evaluate = self.objective.flat_parts
            self._evaluate = record_graph(evaluate, self.image) if self.cuda_graphs else evaluate
        self._stage = stage
        if not within:
            self.stage_step = 0

    def enter_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Makes the terms compare with the pictures of a stage; those of the style stay where they are the same."""
        self.set_targets(pictures, keep_style=self._stage is not None and self._stage.size == stage.size)

    def _replace_image(self, image: Tensor) -> None:
        """Puts another image in the place of the one that was painted, with an optimizer that knows nothing yet."""
        self._set_image(image)
        self.trainer.strategy.setup_optimizers(self.trainer)

    def _resize(self, height: int, width: int) -> None:
        """Resizes the image and makes its optimizer anew, with what of the old one's state can be carried over."""
        state = self.trainer.optimizers[0].state.get(self.image, {})
        self._replace_image(resize(self.image.detach(), height, width))
        kept = resize_state(state, height, width)
        if kept:
            self.trainer.optimizers[0].state[self.image] = kept

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Makes as many evaluations and updates as a training step has, or as are left; the last one is logged."""
        left = self._data().stages[self.trainer.current_epoch].steps - self.stage_step
        if self.trainer.max_steps >= 0:
            left = min(left, self.trainer.max_steps - self.global_step)
        self.step_evaluations = min(left, self._data().iterations_per_step)
        count_steps(self.trainer.fit_loop, self.step_evaluations - 1)
        for number in range(self.step_evaluations):
            self._to_come = self.step_evaluations - 1 - number
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.stage_step += self.step_evaluations

    def is_due(self, every: int) -> bool:
        """Whether one of the evaluations of the last training step has a number that is a multiple of this."""
        return self.global_step % every < self.step_evaluations

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """Evaluates the objective and logs it, at the end of a training step."""
        parts = self.objective.nested(self._evaluate(self.image))
        terms = {name: total(layers) for name, layers in parts.items()}
        objective = total(terms)
        if self._to_come:
            return objective
        self.terms = {name: term.detach() for name, term in {"total": objective, **terms}.items()}
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        # What Lightning would not write is not handed over: to take it costs it a millisecond.
        if every and (self.global_step + 1) % every == 0:
            self.log_dict({f"loss/{name}": term for name, term in self.terms.items()}, on_step=True, on_epoch=False)
        if self.is_due(self.layer_curves_every_n_steps):
            self._log_layers(parts)
        return objective

    def _log_layers(self, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        curves = {f"layers/{name}/{layer}": part.item() for name, ps in parts.items() for layer, part in ps.items()}
        for logger in self.loggers:
            logger.log_metrics(curves, step=self.global_step)

    def _data(self) -> TransferData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, TransferData)
        return data

    def _set_image(self, image: Tensor) -> None:
        # A gradient has the layout of its parameter, and torch's L-BFGS views it as a vector: no channels-last here.
        self.image = nn.Parameter(image.to(self.device).contiguous())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds where the run is."""
        at = Position(stage_number(self.trainer.fit_loop), self.stage_step)
        write_position(checkpoint, at, self._optimizer_name())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the image with the checkpoint's shape and sets the loops to its position."""
        data = self._data()
        at = self.check_checkpoint(checkpoint, data)
        set_loops(checkpoint["loops"]["fit_loop"], at.stage, data.training_steps(at.step))
        data.resume_at(at)
        self.stage_step = at.step
        self._set_image(torch.empty_like(checkpoint["state_dict"]["image"]))

    def check_checkpoint(self, checkpoint: Mapping[str, Any], data: TransferData) -> Position:
        """Where a checkpoint goes on: inside a stage of the plan, or at the start of one.

        Raises:
            InputError: the checkpoint is of a run with another plan, other proportions or another optimizer.
        """
        shapes = [data.shape(stage) for stage in data.stages]
        return next_position(read_position(checkpoint, shapes, self._optimizer_name()), data.stages)

    def _optimizer_name(self) -> str:
        return type(self.optimizer([torch.zeros(1, requires_grad=True)])).__name__
