"""The LightningModule whose only parameter is the stylized image."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from nst_lightning.backbones.base import Backbone
from nst_lightning.data.plan import Position, Stage, next_position
from nst_lightning.data.transfer import StagePictures, StepLoader, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.resize import resize
from nst_lightning.losses.base import Loss, total
from nst_lightning.optim import CompactLBFGS, keep_within
from nst_lightning.optim.state import resize_state
from nst_lightning.training.convergence import StageObjectives
from nst_lightning.training.evaluation import Evaluate, select_evaluation
from nst_lightning.training.evaluation.cuda_graphs import record_graph
from nst_lightning.training.initialization import check_initialization, initial_image
from nst_lightning.training.objective import Objective, Terms
from nst_lightning.training.private_api import count_steps, fit_loop_state, set_batches, set_loops, stage_number
from nst_lightning.training.ranks import Ranks
from nst_lightning.training.resume import read_objectives, read_position, select_extra_states, write_position
from nst_lightning.training.strength import check_strength, effective_strength, restore_details, strength_factor
from nst_lightning.training.tile_choice import check_tiling
from nst_lightning.training.tileable import round_shapes


def lbfgs(parameters: Iterable[Tensor]) -> Optimizer:
    """Creates the default optimizer."""
    return CompactLBFGS(parameters)


class StyleTransfer(pl.LightningModule):
    """An image whose pixels are optimized until its features minimize the losses.

    The image is the only trained parameter. A checkpoint holds the image and the state of the optimizer, nothing else.
    One epoch of Lightning is one stage of the plan: one picture at one size.

    Args:
        backbone: the frozen network whose features the losses compare.
        losses: the losses by name. A name is the name of the curve in TensorBoard, `loss/NAME`, and of the option on
            the shell, `--model.losses.NAME.weight 10`. Style transfer has a content and a style loss, content
            reconstruction has only the first, texture synthesis only the second.
        initialization: the image before the first step: `content`, `style`, `noise` (uniform), `gaussian`, or an image
            file. Noise follows `seed_everything`.
        optimizer: changes the image; by default L-BFGS with one evaluation per step. Optimizers other than L-BFGS have
            the image clipped to [0, 1] after each step.
        layer_curves_every_n_steps: how often the distances of each layer, `layers/NAME/LAYER`, are logged.
        cuda_graphs: whether a GPU records the evaluation at the start of each stage and then replays it, which saves
            the launch of hundreds of small operations. Meant for fast GPUs and small pictures.
        strength: how much of the style the result has, with the same meaning in all recipes: 0 is the photograph, 0.5
            the balance of the recipe, 1 full style. Without a term of the content or of the style it has no effect.
        tileable: whether the result shows no seam when it is laid side by side and one below the other. Each
            convolution then reads the opposite edge beyond an edge. Height and width become the nearest lengths that
            all poolings divide: multiples of 8 up to conv_10, of 16 from conv5_1 on. Not for films.
    """

    def __init__(
        self,
        backbone: Backbone,
        losses: dict[str, Loss],
        initialization: str = "content",
        optimizer: OptimizerCallable = lbfgs,
        layer_curves_every_n_steps: int = 50,
        cuda_graphs: bool = False,
        strength: float = 0.5,
        tileable: bool = False,
    ) -> None:
        super().__init__()
        if layer_curves_every_n_steps < 1:
            raise InputError(
                f"Expected `layer_curves_every_n_steps` to be positive, but got {layer_curves_every_n_steps}."
            )
        self.initialization = initialization
        self.optimizer = optimizer
        self.layer_curves_every_n_steps = layer_curves_every_n_steps
        self.cuda_graphs = cuda_graphs
        self.strength = check_strength(strength)
        changing = [name for name, loss in losses.items() if not loss.is_constant]
        if cuda_graphs and changing:
            raise InputError(
                f"Expected `cuda_graphs` with terms that stay the same in a stage, but {changing[0]!r} changes: "
                "leave model.cuda_graphs at false."
            )
        self.tileable = tileable
        # The tiles of a run whose plan says `auto`.
        self.chosen_tile: int | None = None
        self.set_objective(Objective(backbone, losses, tileable))
        self._apply_strength()
        self.terms: dict[str, Tensor] = {}
        # Numbers of evaluations: so far in the stage, in the last training step, and left in the current training step.
        self.stage_step, self.step_evaluations, self._evaluations_left = 0, 1, 0
        self.objectives, self._objective = StageObjectives(), torch.zeros(())
        # Whether the current stage has ended before its last planned step.
        self.has_converged = False
        self._stage: Stage | None = None
        self.set_image(torch.zeros(1, 3, 1, 1))

    def set_objective(self, objective: Objective) -> None:
        """Sets the objective and selects how it is evaluated."""
        self.objective = objective
        self.evaluate: Evaluate = select_evaluation(objective)

    def set_image(self, image: Tensor) -> None:
        """Replaces the image by a new parameter, ``(batch, 3, height, width)``."""
        # A gradient has the memory layout of its parameter, and torch's L-BFGS views it as a vector: not channels-last.
        self.image = nn.Parameter(image.to(self.device).contiguous())

    # Evaluation

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """Evaluates the objective, the sum of all terms, and logs it at the end of a training step."""
        for loss in self.objective.named_losses.values():
            loss.begin_evaluation(self.stage_step + self.step_evaluations - 1 - self._evaluations_left)
        distances = self.evaluate(self.image)
        terms = {name: total(layers) for name, layers in distances.items()}
        objective = total(terms)
        self._objective, self.terms = objective.detach(), {"total": objective.detach()}
        self.terms |= {name: term.detach() for name, term in terms.items()}
        # Of several evaluations in a training step only the last one is logged.
        if not self._evaluations_left:
            self._log_terms(distances)
        return objective

    def criterion(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the weighted terms of the objective, scalars; the objective is their sum. Needs no Trainer.

        Args:
            image: ``(batch, 3, height, width)`` in [0, 1].
        """
        return {name: total(layers) for name, layers in self.evaluate(image).items()}

    def set_targets(self, pictures: StagePictures, keep_style: bool = False) -> None:
        """Sets the targets of the losses; see :meth:`nst_lightning.training.objective.Objective.set_targets`."""
        # Another module may have been created with the same losses.
        self._apply_strength()
        self.objective.set_targets(pictures.to(self.device), keep_style)

    def _apply_strength(self) -> None:
        for loss in self.objective.named_losses.values():
            loss.set_strength_factor(strength_factor(loss, self._effective_strength))

    @property
    def _effective_strength(self) -> float:
        return effective_strength(self.objective.named_losses.values(), self.strength)

    def _log_terms(self, distances: Terms) -> None:
        every: int = getattr(self.trainer, "log_every_n_steps", 0)
        # Lightning takes a millisecond to accept values that it would not write.
        if every and (self.global_step + 1) % every == 0:
            self.log_dict({f"loss/{name}": term for name, term in self.terms.items()}, on_step=True, on_epoch=False)
        if self.is_due(self.layer_curves_every_n_steps):
            curves = {
                f"layers/{name}/{layer}": distance.item()
                for name, layers in distances.items()
                for layer, distance in layers.items()
            }
            for logger in self.loggers:
                logger.log_metrics(curves, step=self.global_step)

    def on_train_epoch_end(self) -> None:
        """Makes the terms available to callbacks as ``trainer.callback_metrics["loss/NAME"]`` at the end of a stage."""
        terms = {f"loss/{name}": term for name, term in self.terms.items()}
        # Without a size, Lightning asks the batch that it skipped when the stage converged, which is a number.
        self.log_dict(terms, logger=False, batch_size=1)

    def is_due(self, every: int) -> bool:
        """Whether an evaluation of the last training step has a number that is a multiple of ``every``."""
        return self.global_step % every < self.step_evaluations

    # Stages

    def setup(self, stage: str) -> None:
        """Creates the image of the first stage and gives the Trainer one epoch for each stage."""
        data = self._data()
        self.objective.ranks = Ranks.of_process_group()
        self.check_data(data)
        # Each process may have measured the memory at another moment.
        self.chosen_tile = self.trainer.strategy.broadcast(self.chosen_tile)
        self._stage, self.terms = None, {}
        self._start_counting()
        data.resume_at(Position(0, 0))
        self.set_image(self.first_image(data))
        loop = self.trainer.fit_loop
        if loop.max_epochs is None or not 0 <= loop.max_epochs <= len(data.stages):
            loop.max_epochs = len(data.stages)
        # Stages differ in their number of steps, which is the length of the loader.
        self.trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def check_data(self, data: TransferData) -> None:
        """Checks that the pictures suffice for the objective.

        Raises:
            InputError: a picture is missing or too small, or optical flow or the initial picture is not available.
        """
        data.require_previous_frames(self.objective.offsets)
        self.round_shapes(data)
        first = data.stages[0]
        self.objective.check(data.pictures(first))
        # On the meta device an image has a shape and no memory.
        height, width = data.shape(first)
        self.objective.check_image(torch.empty(1, 3, height, width, device="meta"))
        check_initialization(self.initialization)
        tile = self.tile_of(data)
        if tile is not None and any(max(data.shape(stage)) > tile for stage in data.stages):
            check_tiling(self.objective)
            if self.cuda_graphs:
                raise InputError(
                    "Expected no tiles with `cuda_graphs`, but got `plan.tile`: set model.cuda_graphs to false."
                )

    def round_shapes(self, data: TransferData) -> None:
        """Rounds the sizes of all stages so that the result repeats without a seam, if `tileable` is set.

        Raises:
            InputError: the content is a film.
        """
        if self.tileable:
            round_shapes(data, self.objective)

    def first_image(self, data: TransferData) -> Tensor:
        """Creates the image before the first step, ``(1, 3, height, width)`` in [0, 1], on the CPU.

        Raises:
            InputError: the picture to start from is missing or cannot be read.
        """
        return self._initial_image(data.pictures(data.stages[0]), data.shape(data.stages[0]))

    def _initial_image(self, pictures: StagePictures, shape: tuple[int, int]) -> Tensor:
        # A frame of a film starts from the previous painted frame.
        if pictures.start is not None:
            return pictures.start
        style = pictures.styles[0] if pictures.styles else None
        return initial_image(self.initialization, pictures.start_content, style, *shape, torch.initial_seed())

    def on_train_start(self) -> None:
        """Enters the stage of a new or resumed run."""
        self.enter_stage(is_resumed=self.stage_step > 0)

    def on_train_epoch_start(self) -> None:
        """Enters the next stage."""
        self.enter_stage()

    def enter_stage(self, is_resumed: bool = False) -> None:
        """Prepares image and targets for the current stage, once per stage.

        Args:
            is_resumed: whether the run resumes within the stage, so that the image stays as it is.
        """
        data, number = self._data(), self.trainer.current_epoch
        stage = data.stages[number]
        if stage == self._stage:
            return
        pictures, shape = data.pictures(stage), data.shape(stage)
        if not is_resumed and number > 0 and data.stages[number - 1].frame != stage.frame:
            self._replace_image(self._initial_image(pictures, shape))
        elif self.image.shape[-2:] != shape:
            self._resize_image(*shape)
            self._restore_details(data, number)
        if not is_resumed:
            for loss in self.objective.named_losses.values():
                loss.begin_stage()
        self.objective.tile = self._tile_for(data, shape)
        self.objective.ranks.copy_first(self.image.detach())
        # Targets are computed in the precision of the steps, so that the content has no distance from itself.
        with self.trainer.precision_plugin.forward_context():
            self.set_stage_targets(data, stage, pictures)
            self._prepare_evaluation()
        self._stage = stage
        if not is_resumed:
            self._start_counting()

    def _prepare_evaluation(self) -> None:
        self.evaluate = select_evaluation(self.objective)
        if self.cuda_graphs:
            self.evaluate = record_graph(self.evaluate, self.image)

    def change_objective(self) -> None:
        """Makes other weights, strength or styles effective between two steps of a stage.

        What is known of the objective so far belongs to another function: the curvature in the optimizer's state, the
        matches of losses, and the objectives that decide whether the stage has converged.
        """
        assert self._stage is not None
        # First: the targets take memory too.
        self.trainer.optimizers[0].state.clear()
        for loss in self.objective.named_losses.values():
            loss.begin_stage()
        with self.trainer.precision_plugin.forward_context():
            self.set_targets(self._data().pictures(self._stage))
            self._prepare_evaluation()
        # A stage that has converged stays so; a resumed run decides it from these numbers.
        if not self.has_converged:
            self.objectives = StageObjectives()

    def add_steps(self, steps: int) -> None:
        """Adds steps to the last stage during a run, also after the last step of the plan."""
        data, loader = self._data(), self.trainer.train_dataloader
        data.add_steps(steps)
        if self.trainer.current_epoch == len(data.stages) - 1 and isinstance(loader, StepLoader):
            self._stage = data.stages[-1]
            left = data.training_steps(self._stage.steps - self.stage_step)
            loader.steps = set_batches(self.trainer.fit_loop, left)

    def tile_of(self, data: TransferData) -> int | None:
        """Returns the length in px of the tiles of a run, or None to evaluate images whole."""
        return self.chosen_tile if data.plan.tile == "auto" else data.plan.tile

    def _tile_for(self, data: TransferData, shape: tuple[int, int]) -> int | None:
        """Returns the length of the tiles for an image of a shape, or None to evaluate it whole."""
        tile, longest = self.tile_of(data), max(shape)
        if self.objective.ranks.are_several:
            return longest if tile is None else min(tile, longest)
        return tile if tile is not None and longest > tile else None

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:
        """Ends a stage that has converged: Lightning skips the rest of the epoch for a -1."""
        return -1 if self.has_converged else None

    def _start_counting(self) -> None:
        self.stage_step, self.objectives, self.has_converged = 0, StageObjectives(), False

    @property
    def entered_stage(self) -> Stage | None:
        """The stage of the image, also after the last step, when Lightning counts one epoch more; None before it."""
        return self._stage

    def set_stage_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Sets the targets of a stage; the style's stay if they are the same as in the previous stage."""
        self.set_targets(pictures, keep_style=self._stage is not None and data.has_same_styles(self._stage, stage))

    def _replace_image(self, image: Tensor) -> None:
        """Replaces the image and creates a new optimizer for it."""
        self.set_image(image)
        # The optimizer of the previous image would continue to update that image.
        self.trainer.strategy.setup_optimizers(self.trainer)

    def _resize_image(self, height: int, width: int) -> None:
        """Resizes the image and carries the state of its optimizer over, as far as possible."""
        state = self.trainer.optimizers[0].state.get(self.image, {})
        self._replace_image(resize(self.image.detach(), height, width, self.tileable))
        resized_state = resize_state(state, height, width, self.tileable)
        if resized_state:
            self.trainer.optimizers[0].state[self.image] = resized_state

    def _restore_details(self, data: TransferData, number: int) -> None:
        """Adds the details of the content that the stage before lost, if the strength is below 0.5."""
        if self._effective_strength >= 0.5:
            return
        content, previous = (self.content_at(data, stage) for stage in (data.stages[number], data.stages[number - 1]))
        if content is not None and previous is not None:
            with torch.no_grad():
                image = self.image.detach().cpu()
                self.image.copy_(restore_details(image, content, previous, self.strength))

    def content_at(self, data: TransferData, stage: Stage) -> Tensor | None:
        """Returns the content that a run starts from at the size of a stage, ``(batch, 3, height, width)``, or None."""
        return data.pictures(stage).start_content

    # Optimization

    def configure_optimizers(self) -> Optimizer:
        """Creates the optimizer, only for the image: L-BFGS would keep a history of the network's weights too."""
        return keep_within(self.optimizer([self.image]))

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Runs the evaluations and updates of a training step."""
        left = self._data().stages[self.trainer.current_epoch].steps - self.stage_step
        if self.trainer.max_steps >= 0:
            left = min(left, self.trainer.max_steps - self.global_step)
        self.step_evaluations = min(left, self._data().iterations_per_step)
        count_steps(self.trainer.fit_loop, self.step_evaluations - 1)
        for number in range(self.step_evaluations):
            self._evaluations_left = self.step_evaluations - 1 - number
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            self.objectives.record(self.stage_step + number, self._objective)
            self.has_converged = self.objectives.has_converged(
                self.stage_step + number + 1, self._data().plan.tolerance
            )
            if self.has_converged:
                break
        # A stage that converges within a training step makes none of the step's further evaluations.
        count_steps(self.trainer.fit_loop, -self._evaluations_left)
        self.step_evaluations -= self._evaluations_left
        self.stage_step += self.step_evaluations

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the position of the run and its number of threads."""
        position = Position(stage_number(self.trainer.fit_loop), self.stage_step)
        threads = torch.get_num_threads() if self.device.type == "cpu" else None
        write_position(
            checkpoint, position, self._optimizer_name(), self.objectives.values(), threads, self.tile_of(self._data())
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Creates an image of the checkpoint's shape and sets Lightning's loops to the checkpoint's position."""
        # Lightning copies the state dict into existing parameters, which must have its shapes.
        data = self._data()
        position = self.check_checkpoint(checkpoint, data)
        set_loops(fit_loop_state(checkpoint), position.stage, data.training_steps(position.step))
        data.resume_at(position)
        self._start_counting()
        if position.step:
            self.stage_step, self.objectives = position.step, StageObjectives(read_objectives(checkpoint))
        self.set_image(torch.empty_like(checkpoint["state_dict"]["image"]))
        self.objective.wrap_losses(data.pictures(data.stages[0]))
        select_extra_states(checkpoint["state_dict"], self.state_dict())

    def check_checkpoint(self, checkpoint: Mapping[str, Any], data: TransferData) -> Position:
        """Returns the position at which a checkpoint resumes: within a stage of the plan, or at the start of one.

        Raises:
            InputError: the checkpoint is of a run with another plan, another shape or another optimizer, or damaged.
        """
        stages = list(data.stages)
        position = read_position(checkpoint, [data.shape(stage) for stage in stages], self._optimizer_name())
        self._check_states(checkpoint)
        if StageObjectives(read_objectives(checkpoint)).has_converged(position.step, data.plan.tolerance):
            stages[position.stage] = replace(stages[position.stage], steps=position.step)
        return next_position(position, stages)

    def _check_states(self, checkpoint: Mapping[str, Any]) -> None:
        """Restores states of the checkpoint into copies without memory.

        Raises:
            InputError: the states of the optimizer or of the loops have another form.
        """
        image = torch.empty(checkpoint["state_dict"]["image"].shape, device="meta", requires_grad=True)
        try:
            self.optimizer([image]).load_state_dict(checkpoint["optimizer_states"][0])
            set_loops(deepcopy(fit_loop_state(checkpoint)), 0, 0)
        except Exception as error:  # a damaged state raises many kinds of exceptions
            raise InputError(
                f"Expected a checkpoint with the states of {self._optimizer_name()} and of the loops, but those of "
                "this one cannot be restored: name an older checkpoint, or start again without --ckpt_path."
            ) from error

    def check_optimizer(self) -> None:
        """Checks the arguments of the optimizer, which is created only when the run has a folder.

        Raises:
            InputError: the optimizer refuses them.
        """
        try:
            self._optimizer_name()
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected arguments of model.optimizer that it accepts, but: {error}.") from error

    def _optimizer_name(self) -> str:
        return type(self.optimizer([torch.zeros(1, requires_grad=True)])).__name__

    def _data(self) -> TransferData:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, TransferData):
            raise TypeError(f"Expected Trainer.fit with a TransferData as datamodule, but got {type(data).__name__}.")
        return data
