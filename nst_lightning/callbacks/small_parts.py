"""Reports layers that a run left out because a part of the picture was too small for them."""

from typing import Any

import lightning.pytorch as pl

from nst_lightning.losses.regional import RegionalLoss
from nst_lightning.training.run_state import RunState


class SmallPartReporter(pl.Callback):
    """Prints at the end of a run in which layers a style had too few positions, one line for each term and style."""

    def __init__(self) -> None:
        # Layers and sizes in px by the term and the numbers of the styles.
        self._left_out: dict[tuple[str, tuple[int, ...]], tuple[set[str], set[int]]] = {}

    def on_train_start(self, *unused: Any) -> None:
        """Forgets the reports of an earlier run."""
        self._left_out = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Collects the layers that the terms have left out in this stage."""
        run = RunState.of(trainer)
        for name, loss in run.module.objective.named_losses.items():
            if isinstance(loss, RegionalLoss):
                for number, layers in ((number, layers) for number, layers in loss.left_out.items() if layers):
                    blend = loss.parts[number].blend
                    styles = {s.number for s, share in zip(run.data.styles.variants, blend, strict=True) if share}
                    key = name, tuple(sorted(run.data.styles.declared_numbers[style] for style in styles))
                    known, sizes = self._left_out.setdefault(key, (set(), set()))
                    known |= layers
                    sizes.add(run.stage.size)

    def on_train_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Prints the report."""
        if not trainer.is_global_zero:
            return
        for (name, styles), (layers, sizes) in self._left_out.items():
            numbers = " and ".join(map(str, styles))
            at = ", ".join(map(str, sorted(sizes)))
            print(
                f"The area of style {numbers} is too small for {', '.join(sorted(layers))} of the term {name!r} "
                f"at {at} px: it was painted without these layers."
            )
