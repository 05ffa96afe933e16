"""What a person asked the app to paint, and the command that paints it."""

import json
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from PIL import Image

from nst_lightning.app.term_weights import read_term_weights
from nst_lightning.app.uploads import UploadStore
from nst_lightning.callbacks.result import IMAGE_NAME
from nst_lightning.cli.configs import find_config, packaged_config
from nst_lightning.data.plan import Plan
from nst_lightning.errors import InputError
from nst_lightning.training.run_folder import CONFIG_NAME
from nst_lightning.training.steering import STEERING_NAME

# The packaged recipes that the form offers, each with a sentence about it.
RECIPES: dict[str, str] = {
    "transfer": "A picture in the style of another one, in a short time.",
    "best": "The recipe with the best results: strokes keep to the shapes of the content.",
    "drawing": "For styles that are drawings in pen, pencil or ink.",
    "report": "The plain method of Gatys et al.: Gram matrices at one size.",
    "texture": "The strokes and colors of the styles without a content.",
    "video": "A film, frame by frame, along its optical flow.",
}

Colors = Literal["style", "content", "luminance", "match"]

# Name of a run, which is also that of its folder.
RUN_NAME = re.compile(r"r-[0-9a-f]{16}")

# The copy of the picture that a run starts from, in its folder.
START_NAME = "start.png"

MAX_STYLES = 4

# Permitted values of a painting: the smallest and the largest.
LIMITS: dict[str, tuple[float, float]] = {
    "size": (16, 8192),
    "strength": (0, 1),
    "stroke": (0.1, 10),
    "seed": (0, 2**32 - 1),
    "threads": (1, 1024),
    "more_steps": (0, 100_000),
    "weight": (0, 1e6),
    "scale": (0.1, 10),
    "factor": (0, 1000),
}


@dataclass(frozen=True)
class StyleInput:
    """A style of a painting.

    Attributes:
        picture: id of an upload, or `sample:NAME`.
        weight: its share among several styles; only the ratio of the weights matters.
        scale: size relative to the image.
        mask: id of a mask over the content, white where this style goes, or None for everywhere.
        region: id of a mask over the style, white where it is used, or None for all of it.
    """

    picture: str
    weight: float = 1.0
    scale: float = 1.0
    mask: str | None = None
    region: str | None = None


@dataclass(frozen=True)
class Painting:
    """What a person asked for. All pictures are ids or samples, never paths.

    Attributes:
        content: id of a picture or of a film, `sample:NAME`, or None for a texture.
        styles: 1 to 4 styles.
        recipe: a name in `RECIPES`.
        size: long edge of the result in px.
        strength: from 0 (photograph) to 1 (style).
        stroke: factor on the scales of all styles.
        colors: whose colors the result has.
        seed: seed of the run.
        start: id of the run whose result is the first image, or None for the recipe's own.
        enlarge: id of the run whose result is enlarged to `size`, with the recipe `enlarge`, or None.
        threads: number of threads, on which the last bits depend; :class:`RunQueue` sets it.
        more_steps: steps at the last size in addition to those of the recipe.
        term_factors: factors on the recipe's weights of terms, by the name of the term; 1 for all others.
    """

    content: str | None
    styles: tuple[StyleInput, ...]
    recipe: str = "transfer"
    size: int = 512
    strength: float = 0.5
    stroke: float = 1.0
    colors: Colors = "style"
    seed: int = 0
    start: str | None = None
    enlarge: str | None = None
    threads: int | None = None
    more_steps: int = 0
    term_factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def config_name(self) -> str:
        """Name of the packaged configuration."""
        return self.recipe if self.enlarge is None else "enlarge"

    @property
    def is_film(self) -> bool:
        """Whether a film is painted."""
        return self.recipe == "video" and self.enlarge is None

    @property
    def sources(self) -> set[str]:
        """All ids and samples that the painting names."""
        named = [self.content, *(name for style in self.styles for name in (style.picture, style.mask, style.region))]
        return {name for name in named if name is not None}

    def check(self) -> None:
        """Checks all values that do not depend on files.

        Raises:
            InputError: a value cannot be used.
        """
        if self.recipe not in RECIPES:
            raise InputError(f"Expected a recipe among {', '.join(RECIPES)}, but got {self.recipe!r}.")
        if self.colors not in get_args(Colors):
            raise InputError(f"Expected colors among {', '.join(get_args(Colors))}, but got {self.colors!r}.")
        if not 1 <= len(self.styles) <= MAX_STYLES:
            raise InputError(f"Expected 1 to {MAX_STYLES} styles, but got {len(self.styles)}: choose a picture.")
        for name in ("size", "seed", "more_steps", "threads"):
            _check_number(name, getattr(self, name), is_whole=True)
        for name in ("strength", "stroke"):
            _check_number(name, getattr(self, name))
        for style in self.styles:
            _check_number("weight", style.weight)
            _check_number("scale", style.scale)
        if not any(style.weight for style in self.styles):
            raise InputError("Expected a style with a weight over 0, but all weights are 0.")
        self._check_terms()
        self._check_start()
        self._check_content()

    def _check_terms(self) -> None:
        terms = read_term_weights(self.config_name)
        for name, factor in self.term_factors.items():
            if name not in terms:
                raise InputError(f"Expected a factor of a term among {', '.join(terms)}, but got {name!r}.")
            _check_number("factor", factor)
        if not any(self.term_factors.get(name, 1) for name in terms):
            raise InputError("Expected a loss with a weight over 0, but all weights are 0.")

    def _check_start(self) -> None:
        for run in (self.start, self.enlarge):
            if run is not None and not (isinstance(run, str) and RUN_NAME.fullmatch(run)):
                raise InputError("Expected the name of an earlier run, but there is none with this name.")
        if self.start is not None and (self.enlarge is not None or self.is_film):
            raise InputError("Expected a picture to start from a result, but a film or an enlargement cannot.")

    def _check_content(self) -> None:
        if self.enlarge is not None:
            return
        is_texture = self.recipe == "texture"
        if is_texture and self.content is not None:
            raise InputError("Expected no content for a texture, but got one: remove it or choose another recipe.")
        if not is_texture and self.content is None:
            raise InputError("Expected a content, but got none: choose a picture, or the recipe texture.")
        if is_texture and (self.colors != "style" or any(style.mask for style in self.styles)):
            raise InputError("Expected no masks and the colors of the style for a texture, which has no content.")
        if self.is_film and self.more_steps:
            raise InputError("Expected a picture for more steps, but got a film: paint it again with more strength.")

    def arguments(self, files: UploadStore, folder: Path) -> list[str]:
        """Returns the arguments of `fit` for a run in a folder.

        Args:
            files: the uploads.
            folder: run folder, a child of the folder of all runs.

        Raises:
            InputError: a picture does not exist or has the wrong kind.
        """
        logger = "--trainer.logger.init_args"
        return [
            f"--config={packaged_config(self.config_name).resolve()}",
            *self._list_options(files, folder),
            f"{logger}.save_dir={folder.resolve().parent}",
            f"{logger}.name=",
            f"{logger}.version={folder.name}",
            "--trainer.enable_progress_bar=false",
        ]

    def command(self, files: UploadStore, folder: Path) -> str:
        """Returns the line for a shell that paints the same picture into a run folder of its own under `logs`.

        Args:
            files: the uploads.
            folder: run folder of the app, which holds the start image if there is one.

        Raises:
            InputError: a picture does not exist or has the wrong kind.
        """
        packaged = packaged_config(self.config_name).resolve()
        # A folder `configs` in the working folder has precedence over the packaged one.
        is_found = find_config(self.config_name).resolve() == packaged
        config = ["--config", self.config_name if is_found else str(packaged)]
        changes = folder / STEERING_NAME
        replay = ["--replay", str(changes.resolve())] if changes.is_file() else []
        options = self._list_options(files, folder)
        return shlex.join(["python", "-m", "nst_lightning", "fit", *config, *options, *replay])

    def resolved_yaml(self, files: UploadStore, folder: Path) -> str:
        """Returns the configuration of the run, all options with their values.

        Before the run has started, a process prints it, which takes seconds.

        Args:
            files: the uploads.
            folder: run folder of the app.

        Raises:
            InputError: a value cannot be used.
        """
        written = folder / CONFIG_NAME
        if written.is_file():
            return written.read_text()
        command = [sys.executable, "-m", "nst_lightning", "fit", *self.arguments(files, folder), "--print_config"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        if done.returncode:
            raise InputError(done.stderr.strip().rpartition("\n")[2].removeprefix("error: "))
        return done.stdout

    def _list_options(self, files: UploadStore, folder: Path) -> list[str]:
        """Lists all options that change the picture."""
        self.check()
        options = {
            "seed_everything": self.seed,
            "data.style": self._style_option(files),
            "data.plan.size": self.size,
            "data.colors": self.colors,
            "model.strength": self.strength,
        }
        if self.enlarge is None and self.content is not None:
            path = files.path(self.content)
            if files.is_film(self.content) != self.is_film:
                kind = "a film" if self.is_film else "a picture, or the recipe video"
                raise InputError(f"Expected {kind}, but the content is of the other kind: choose another one.")
            options["data.content"] = _name_file(self.content, path)
        if self.start is not None or self.enlarge is not None:
            options["model.initialization"] = str(self._find_start(folder).resolve())
        # Where all styles have masks and none applies, the photograph stays.
        if all(style.mask is not None for style in self.styles):
            options["data.rest"] = "content"
        weights = read_term_weights(self.config_name)
        options |= {f"model.losses.{name}.weight": weights[name] * f for name, f in self.term_factors.items() if f != 1}
        if self.more_steps:
            options |= self._step_option(folder)
        if self.threads is not None:
            options["threads"] = self.threads
        return [f"--{name}={value}" for name, value in options.items()]

    def _style_option(self, files: UploadStore) -> str:
        styles = []
        for style in self.styles:
            value: dict[str, Any] = {"file": _name_file(style.picture, files.path(style.picture))}
            if files.is_film(style.picture):
                raise InputError("Expected pictures as styles, but one of them is a film.")
            scale = style.scale * self.stroke
            value |= {"weight": style.weight} if style.weight != 1 else {}
            value |= {"scale": scale} if scale != 1 else {}
            for name, mask in (("mask", style.mask), ("region", style.region)):
                value |= {} if mask is None else {name: _name_file(mask, files.path(mask))}
            styles.append(value)
        return json.dumps(styles, ensure_ascii=False)

    def _find_start(self, folder: Path) -> Path:
        """Returns the picture that the run starts from: its own copy, or the result of the other run."""
        copy = folder / START_NAME
        path = copy if copy.is_file() else folder.parent / str(self.start or self.enlarge) / IMAGE_NAME
        if not path.is_file():
            raise InputError("Expected a run with a picture to start from, but that one has none.")
        return path

    def _step_option(self, folder: Path) -> dict[str, Any]:
        """Returns the option of the plan for more steps at the last size."""
        declared = yaml.safe_load(packaged_config(self.config_name).read_text())["data"]["plan"]
        plan = Plan(**(declared | {"size": self.size}))
        if self.enlarge is not None:
            with Image.open(self._find_start(folder)) as start:
                # As `fit` chooses it: the ladder begins above the size of the small picture.
                plan.smallest = max(start.size) + 1
        name = "steps" if len(plan.stages()) == 1 else "last_steps"
        return {f"data.plan.{name}": plan.stages()[-1].steps + self.more_steps}

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for a JSON file."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Painting":
        """Reads the values of :meth:`to_dict`, also those of another version of the app."""
        names = {field.name for field in fields(Painting)}
        style_names = {field.name for field in fields(StyleInput)}
        styles = tuple(
            StyleInput(**{name: value for name, value in style.items() if name in style_names})
            for style in values["styles"]
        )
        return Painting(**({name: value for name, value in values.items() if name in names} | {"styles": styles}))


def _name_file(source: str, path: Path) -> str:
    """Returns a file as the command names it: a sample by its name."""
    return source if source.startswith("sample:") else str(path.resolve())


def _check_number(name: str, value: Any, is_whole: bool = False) -> None:
    low, high = LIMITS[name]
    if name == "threads" and value is None:
        return
    is_number = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        kind = "a whole number" if is_whole else "a number"
        raise InputError(f"Expected {name} to be {kind} from {low:g} to {high:g}, but got {value!r}.")
