"""Networks that are built once for all runs that share them."""

import json
from collections.abc import Iterable

from nst_lightning.backbones import Backbone
from nst_lightning.losses.base import IMAGE
from nst_lightning.study.spec.plan import Run, network


class Networks:
    """Builds a network when the first run wants it, as deep as the deepest of all runs wants it.

    Args:
        runs: that will ask.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._layers: dict[str, set[str]] = {}
        self._built: dict[str, Backbone] = {}
        for run in runs:
            self._layers.setdefault(_description(run), set()).update(_layers(run))

    def of(self, run: Run) -> Backbone:
        """The network of a run, built.

        Raises:
            InputError: weights that cannot be read.
        """
        described = _description(run)
        if described not in self._built:
            made = network(run.configuration["model"]["backbone"])
            wanted = self._layers.get(described, set()) | _layers(run)
            # A layer that it does not have is the mistake of the run that asks for it alone.
            made.build(sorted(wanted & set(made.layer_names)))
            self._built[described] = made
        return self._built[described]


def _description(run: Run) -> str:
    return json.dumps(run.configuration["model"]["backbone"], sort_keys=True)


def _layers(run: Run) -> set[str]:
    terms = run.configuration["model"]["losses"].values()
    return {layer for term in terms for layer in term["init_args"].get("layers") or [] if layer != IMAGE}
