"""The key of a run: a hash of everything that decides its pictures."""

import hashlib
import json
from pathlib import Path
from typing import Any

from nst_lightning.data.masks import split_label
from nst_lightning.errors import InputError
from nst_lightning.samples import locate
from nst_lightning.study.spec.declaration import flatten_options
from nst_lightning.study.spec.resolve import Configuration
from nst_lightning.training.module import lbfgs

# Options that do not change a picture: where files are written, what is shown during the run, and which inputs are
# refused.
# The number of threads changes the last bits alone, and older runs have none.
_IGNORED = ("ckpt_path", "output", "previews", "checkpoints", "threads", "max_pixels")
_IGNORED_OF_TRAINER = ("logger", "default_root_dir", "log_every_n_steps", "enable_progress_bar", "profiler")

# Keys contain the import path of the default optimizer: the one at the time of the first keys. With the current path,
# finished runs would be painted again.
_KEYED_DEFAULT_OPTIMIZER = "nst_lightning.module.lbfgs"

# Keys also contain the first paths of classes that have been renamed or moved.
_KEYED_CLASS_PATHS = {
    "nst_lightning.DisocclusionGramLoss": "nst_lightning.RevealedGramLoss",
    "nst_lightning.SlicedWassersteinLoss": "nst_lightning.losses.SlicedWassersteinLoss",
    "nst_lightning.WassersteinLoss": "nst_lightning.losses.WassersteinLoss",
}

# Options that are newer than the first keys, with their defaults; `*` is the name of a term. A key contains them only
# where they have other values, so that runs that were painted before are recognized.
_LATER_OPTIONS: dict[str, Any] = {
    "data.content_map": None,
    "data.hold": None,
    "data.hold_weight": 10.0,
    "data.move_masks": False,
    "data.color_strength": 1,
    "data.colors": "style",
    "data.palette": {},
    "data.palette.result": 0,
    "data.palette.space": "oklab",
    "data.palette.start": 0,
    "data.plan.last_steps": None,
    "data.plan.tile": "auto",
    "data.plan.tolerance": None,
    "data.rest": None,
    "data.style_match": "long",
    "data.style_rotation": 0,
    "data.style_strength": None,
    "depth": 8,
    "replay": None,
    "model.strength": 0.5,
    "model.tileable": False,
    "model.losses.*.init_args.at": None,
    "model.losses.*.init_args.matched": 0.0,
    "model.losses.*.init_args.normalized": False,
    "model.losses.*.init_args.styles": None,
}

# The default optimizer as the recipe names it, and the losses of the recipe.
_RECIPE_OPTIMIZER = {
    "class_path": "nst_lightning.optim.CompactLBFGS",
    "init_args": {"lr": 1.0, "history_size": 10, "longest": 0.05, "per_item": True},
}
_DETERMINISTIC_LOSSES = {"ContentLoss", "GramLoss", "TotalVariationLoss"}


def run_key(configuration: Configuration) -> str:
    """Returns the key of a run: 16 hexadecimal digits that depend on its options and on the content of its input files.

    Args:
        configuration: configuration of `fit` with all options.
    """
    decisive = {name: value for name, value in configuration.items() if name not in _IGNORED}
    decisive["trainer"] = {k: v for k, v in configuration["trainer"].items() if k not in _IGNORED_OF_TRAINER}
    if configuration["model"]["optimizer"] == f"{lbfgs.__module__}.{lbfgs.__name__}":
        decisive["model"] = configuration["model"] | {"optimizer": _KEYED_DEFAULT_OPTIMIZER}
    decisive = _restore_first_names(_drop_later_options(decisive))
    files = {name: _hash_file(name) for name in sorted(input_files(configuration))}
    text = json.dumps([decisive, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_run_key(configuration: Configuration) -> str:
    """Returns the key of a run of a folder study with the default recipe.

    The first version of folder studies had seed 0 and no explicit optimizer; the recipe has seed 92 and names the
    default optimizer. A run without randomness keeps its first key, because its pictures are the same.

    Args:
        configuration: configuration of `fit` with all options.
    """
    model = configuration["model"]
    is_deterministic = model["initialization"] == "content" and all(
        term["class_path"].rpartition(".")[2] in _DETERMINISTIC_LOSSES for term in model["losses"].values()
    )
    if is_deterministic and configuration["seed_everything"] == 92 and model["optimizer"] == _RECIPE_OPTIMIZER:
        model = model | {"optimizer": _KEYED_DEFAULT_OPTIMIZER}
        configuration = configuration | {"model": model, "seed_everything": 0}
    return run_key(configuration)


def _drop_later_options(configuration: Configuration, path: tuple[str, ...] = ()) -> Configuration:
    """Removes later options that have their defaults, and groups of such options."""
    kept = {}
    for name, value in configuration.items():
        option = (*path, "*" if path == ("model", "losses") else name)
        value = _drop_later_options(value, option) if isinstance(value, dict) else value
        dotted = ".".join(option)
        if dotted not in _LATER_OPTIONS or value != _LATER_OPTIONS[dotted]:
            kept[name] = value
    return kept


def _restore_first_names(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore_first_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    # A term of the recipe for films, once called `revealed`.
    restored = {
        "revealed" if name == "disocclusion" else name: _restore_first_names(item) for name, item in value.items()
    }
    if "class_path" in restored:
        restored["class_path"] = _KEYED_CLASS_PATHS.get(restored["class_path"], restored["class_path"])
    if "preprocessing" in restored:  # of VGG, once called `flavor`
        preprocessing = restored.pop("preprocessing")
        restored["flavor"] = preprocessing or restored.get("flavor")
    return restored


def input_files(configuration: Configuration) -> set[str]:
    """Returns every value below ``data`` and ``model`` that names an existing file or a sample."""
    values = flatten_options(_replace_lists({group: configuration[group] for group in ("data", "model")}))
    # The name of a mask may end with the label of an area, as in seg.png#3.
    files = {split_label(value)[0] for value in values.values() if isinstance(value, str)}
    return {file for file in files if _is_path(file)}


def _replace_lists(value: Any) -> Any:
    """Replaces lists by mappings and renames ``class_path`` and ``file``, so that all values are reached."""
    # `flatten_options` keeps mappings with these keys as one value.
    if isinstance(value, dict):
        return {{"class_path": "class", "file": "path"}.get(key, key): _replace_lists(v) for key, v in value.items()}
    return {str(n): _replace_lists(item) for n, item in enumerate(value)} if isinstance(value, list) else value


def _is_path(text: str) -> bool:
    if text.startswith("sample:"):
        return True
    # Longer texts make `exists` raise an OSError.
    return len(text) < 4096 and ("/" in text or "." in text) and Path(text).exists()


def _hash_file(name: str) -> str:
    """Hashes a file, or the names and contents of all files of a folder."""
    try:
        path = Path(locate(name))
    except InputError:
        return "missing"
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            total.update(file.name.encode() + b"\0")
            with file.open("rb") as opened:
                total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
