"""The content of a run: one interface for stills, films and runs without content."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from nst_lightning.data.plan import Plan, Stage
from nst_lightning.images.io import Picture
from nst_lightning.images.resize import fit_long_edge, resize

# Gives the content the colors that a stage starts with.
Recolor = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ContentPictures:
    """The pictures that a content source provides for a stage, at the size of the stage.

    Attributes:
        content: ``(1, 3, height, width)`` in [0, 1], or None.
        previous: painted frames before this one in its shot; see :attr:`StagePictures.previous`.
        start: image that the stage starts from, or None to use the initialization of the module.
        recolored: the content with the colors of the start, or None if they are its own.
    """

    content: Tensor | None
    previous: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    start: Tensor | None = None
    recolored: Tensor | None = None


class ContentSource(ABC):
    """Provides the content of a run, stage by stage.

    Attributes:
        height: original height in px; it gives the image its proportions.
        width: original width in px.
        picture: the still with its opacity, or None for other sources.
        round_length: what a height or width in px becomes, for images that need certain lengths; by default it stays.
    """

    def __init__(self, height: int, width: int, picture: Picture | None = None) -> None:
        self.height = height
        self.width = width
        self.picture = picture
        self.round_length: Callable[[int], int] = int

    @property
    def frame_count(self) -> int:
        """Number of frames to paint."""
        return 1

    def shape(self, size: int) -> tuple[int, int]:
        """Computes height and width in px of an image with a long edge of ``size`` px."""
        height, width = fit_long_edge(self.height, self.width, size)
        return self.round_length(height), self.round_length(width)

    def stages(self, plan: Plan) -> list[Stage]:
        """Lists the stages of the run."""
        return plan.stages()

    @abstractmethod
    def pictures(self, stage: Stage, recolor: Recolor | None = None) -> ContentPictures:
        """Prepares the pictures of a stage on the CPU.

        Args:
            stage: the stage.
            recolor: gives the content the colors of the start.
        """

    def alpha(self, height: int, width: int) -> Tensor | None:
        """Returns the opacity of a still, ``(1, 1, height, width)`` in [0, 1], or None if it is opaque."""
        if self.picture is None or self.picture.alpha is None:
            return None
        return resize(self.picture.alpha, height, width)

    def frame_content(self, frame: int, height: int, width: int) -> Tensor | None:
        """Returns a frame at a size, ``(1, 3, height, width)`` in [0, 1], or None if there is no content.

        Args:
            frame: number of the frame; 0 for a still.
            height: height in px.
            width: width in px.
        """
        return None

    def shot_start(self, frame: int) -> int:
        """Returns the number of the first frame in the shot of a frame; the colors of both change in the same way."""
        return 0

    def shot_image(self, frame: int, image: Tensor) -> Tensor:
        """Returns the painted first frame in the shot of a frame; see :meth:`shot_start`.

        Args:
            frame: number of the frame.
            image: the painted frame itself.
        """
        return image

    def shot_flow(self, frame: int) -> Tensor | None:
        """Returns the motion since the first frame in the shot of a frame.

        Args:
            frame: number of the frame.

        Returns:
            ``(1, 2, height, width)`` in px, from each pixel of the frame to its place inside of that first frame, or
            None if nothing has moved.
        """
        return None

    def require_previous_frames(self, offsets: Collection[int]) -> None:  # noqa: B027 (stills need nothing)
        """Announces which previous frames the losses compare with; a still has none.

        Args:
            offsets: distances in frames, 1 for the frame before.

        Raises:
            InputError: the optical flow between these frames is not available.
        """

    def close(self) -> None:  # noqa: B027 (stills hold nothing open)
        """Releases files and threads."""


class StillContent(ContentSource):
    """A still picture.

    Args:
        picture: the picture at its original size.
    """

    def __init__(self, picture: Picture) -> None:
        height, width = picture.image.shape[-2:]
        super().__init__(height, width, picture)
        self._image = picture.image

    def frame_content(self, frame: int, height: int, width: int) -> Tensor:
        """See :meth:`ContentSource.frame_content`."""
        return resize(self._image, height, width)

    def pictures(self, stage: Stage, recolor: Recolor | None = None) -> ContentPictures:
        """See :meth:`ContentSource.pictures`."""
        content = resize(self._image, *self.shape(stage.size))
        return ContentPictures(content, recolored=None if recolor is None else recolor(content))


class NoContent(ContentSource):
    """No content, as in texture synthesis; only the proportions of the image are known.

    Args:
        height: height in px of a picture with the proportions of the image.
        width: width of that picture in px.
    """

    def pictures(self, stage: Stage, recolor: Recolor | None = None) -> ContentPictures:
        """See :meth:`ContentSource.pictures`."""
        return ContentPictures(None)
