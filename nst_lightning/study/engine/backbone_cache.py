"""Shares backbones between runs."""

import json
from collections.abc import Iterable

from nst_lightning.backbones import Backbone
from nst_lightning.backbones.multi_scale import split_layer
from nst_lightning.losses.base import IMAGE
from nst_lightning.study.spec.missing_layers import create_backbone
from nst_lightning.study.spec.resolved_study import StudyRun


class BackboneCache:
    """Builds each distinct backbone once, at its first use, up to the deepest layer that any run needs.

    Args:
        runs: all runs that will use the cache.
    """

    def __init__(self, runs: Iterable[StudyRun]) -> None:
        self._layers: dict[str, set[str]] = {}
        self._backbones: dict[str, Backbone] = {}
        for run in runs:
            self._layers.setdefault(_description(run), set()).update(_layers(run))

    def get(self, run: StudyRun) -> Backbone:
        """Returns the backbone of a run.

        Raises:
            InputError: the weights cannot be read.
        """
        description = _description(run)
        if description not in self._backbones:
            backbone = create_backbone(run.configuration["model"]["backbone"])
            layers = self._layers.get(description, set()) | _layers(run)
            # An unknown layer fails the run that names it, not all runs that share the backbone.
            backbone.build(sorted(layers & set(backbone.layer_names)))
            self._backbones[description] = backbone
        return self._backbones[description]


def _description(run: StudyRun) -> str:
    return json.dumps(run.configuration["model"]["backbone"], sort_keys=True)


def _layers(run: StudyRun) -> set[str]:
    terms = run.configuration["model"]["losses"].values()
    layers = {split_layer(layer)[0] for term in terms for layer in term["init_args"].get("layers") or []}
    return layers - {IMAGE}
