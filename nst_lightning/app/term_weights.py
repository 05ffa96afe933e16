"""The weights of the terms of a recipe, which a person changes by factors."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from nst_lightning.cli.configs import packaged_config


@cache
def read_term_weights(recipe: str) -> Mapping[str, float]:
    """Reads the weights of the terms of a packaged recipe.

    Args:
        recipe: its name.
    """
    losses: dict[str, Any] = yaml.safe_load(packaged_config(recipe).read_text())["model"]["losses"]
    return {name: float(loss["init_args"]["weight"]) for name, loss in losses.items()}


def keep_factors(factors: Mapping[str, float], recipe: str) -> dict[str, float]:
    """Returns the factors of the terms that a recipe has, without those that are 1.

    Args:
        factors: factor on the weight of each term, by name.
        recipe: name of the recipe.
    """
    return {name: factors[name] for name in read_term_weights(recipe) if factors.get(name, 1) != 1}


def find_factors(weights: Mapping[str, float], recipe: str) -> dict[str, float]:
    """Returns the factors that turn the weights of a recipe into other ones.

    Args:
        weights: other weights of some of the terms by name.
        recipe: name of the recipe.
    """
    declared = read_term_weights(recipe)
    # Rounded, so that a factor that was multiplied by the weight before comes back.
    return {name: round(weight / declared[name], 6) for name, weight in weights.items() if declared.get(name)}
