"""What a person asked the app to paint, and the command that paints it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nst_lightning.app.uploads import UploadStore

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
        enlarge: id of the run whose result is enlarged to `size`, or None.
        threads: number of threads, on which the last bits depend; :class:`RunQueue` sets it.
        more_steps: steps at the last size in addition to those of the recipe.
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

    def check(self) -> None:
        """Checks all values that do not depend on files.

        Raises:
            InputError: a value cannot be used.
        """
        raise NotImplementedError

    def arguments(self, files: UploadStore, folder: Path) -> list[str]:
        """Returns the arguments of `fit` for a run in a folder.

        Args:
            files: the uploads.
            folder: run folder, a child of the folder of all runs.
        """
        raise NotImplementedError

    def command(self, files: UploadStore, folder: Path) -> str:
        """Returns the line for a shell that paints the same picture into a run folder of its own under `logs`.

        Args:
            files: the uploads.
            folder: run folder of the app, which holds the start image if there is one.
        """
        raise NotImplementedError

    def resolved_yaml(self, files: UploadStore, folder: Path) -> str:
        """Returns the configuration of :meth:`command` as `fit --print_config` prints it (takes seconds)."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for a JSON file."""
        raise NotImplementedError

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Painting":
        """Reads the values of :meth:`to_dict`."""
        raise NotImplementedError
