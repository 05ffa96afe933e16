"""Optical flow: where each pixel of one frame is in another frame."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.errors import InputError
from nst_lightning.video.extras import import_extra
from nst_lightning.video.flo_files import read_flow, read_flow_size


class Flow(ABC):
    """A method that finds the optical flow between two frames."""

    @abstractmethod
    def estimate(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """Finds the displacement from each pixel of an image to its place in another image.

        Args:
            image: ``(1, 3, height, width)`` in [0, 1].
            other: image of the same size.
            numbers: numbers of the two frames among the painted ones, from 0.

        Returns:
            ``(1, 2, height, width)`` in px, horizontal component first.
        """

    @abstractmethod
    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Checks before a run that the flow between these frames is available.

        Args:
            pairs: pairs of numbers of frames; see :meth:`estimate`.
            height: height of the frames in px.
            width: width of the frames in px.

        Raises:
            InputError: the flow is not available.
        """


class DIS(Flow):
    """Dense inverse search of Kroeger et al. 2016, from OpenCV. Fast, without a download.

    Args:
        preset: trade-off between speed and accuracy.
    """

    # Minimum height and width of frames in px.
    smallest = 16

    def __init__(self, preset: Literal["ultrafast", "fast", "medium"] = "medium") -> None:
        self.preset = preset

    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Checks that OpenCV is installed and the frames are large enough."""
        import_extra("cv2")
        if min(height, width) < self.smallest:
            raise InputError(
                f"Expected frames of at least {self.smallest} px each way for optical flow, but got {width}x{height} "
                "px: raise data.plan.size or give --data.flow none."
            )

    def estimate(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """See :meth:`Flow.estimate`."""
        cv2 = import_extra("cv2")
        cv2.setNumThreads(1)  # the result depends on the number of threads
        # A new instance for each pair: on small frames the result depends on the frames that an instance saw before.
        presets = {"ultrafast": 0, "fast": 1, "medium": 2}
        flow = cv2.DISOpticalFlow_create(presets[self.preset]).calc(
            _convert_to_gray(image), _convert_to_gray(other), None
        )
        return torch.from_numpy(np.ascontiguousarray(flow)).permute(2, 0, 1)[None].contiguous()


class RAFT(Flow):
    """The network of Teed and Deng 2020, from torchvision. Slower than DIS and better for large displacements.

    Args:
        model: size of the network.
        weights: file with torchvision's weights; downloaded once by default.
        device: device of the network; ``auto`` uses a GPU if there is one.
    """

    def __init__(
        self, model: Literal["small", "large"] = "small", weights: str | None = None, device: str = "auto"
    ) -> None:
        self.model = model
        self.weights = weights
        self.device = device
        self._network: Any = None

    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Loads the weights."""
        self._load()

    def estimate(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """See :meth:`Flow.estimate`; frames are padded to at least 128 px and to multiples of 8."""
        network, device = self._load()
        height, width = image.shape[-2:]
        padding = (0, _padding(width), 0, _padding(height))
        pair = [functional.pad(2 * frame - 1, padding, mode="replicate") for frame in (image, other)]
        with torch.inference_mode():
            flow: Tensor = network(pair[0].to(device), pair[1].to(device))[-1]
        return flow[..., :height, :width].float().cpu().clone()

    def _load(self) -> tuple[Any, torch.device]:
        name = "cuda" if self.device == "auto" and torch.cuda.is_available() else self.device
        device = torch.device("cpu" if name == "auto" else name)
        if self._network is None:
            self._network = self._build().to(device)
        return self._network, device

    def _build(self) -> Any:
        from torchvision.models import optical_flow  # type: ignore[import-untyped]

        build = optical_flow.raft_small if self.model == "small" else optical_flow.raft_large
        if self.weights is None:
            return build(weights="DEFAULT").eval()
        network = build()
        try:
            network.load_state_dict(torch.load(self.weights, map_location="cpu", weights_only=True))
        except FileNotFoundError as error:
            raise InputError(f"Expected weights of RAFT, but there is no file at {self.weights}.") from error
        except Exception as error:  # torch.load passes on any exception of its unpickler
            raise InputError(f"Expected weights of raft_{self.model}, but {self.weights} has others.") from error
        return network.eval()


class FlowFiles(Flow):
    """Reads flow from .flo files, computed at the size of the painted frames.

    Args:
        pattern: path with ``{frame}`` and ``{to}`` for the numbers of two painted frames, from 0. The file
            ``flow/{frame}_{to}.flo`` holds the displacement in px from each pixel of one frame to its place in the
            other; both directions are required. ``{frame:04d}`` pads a number with zeros.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        try:
            names = {self._path((frame, to)) for frame in (0, 1) for to in (0, 1)}
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(f"Expected only {{frame}} and {{to}} in braces in {pattern!r}.") from error
        if len(names) < 4:
            raise InputError(
                "Expected `flow` to be none, dis, raft, or the path of .flo files with {frame} and {to} in it, "
                f"but got {pattern!r}."
            )

    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Reads the header of each file."""
        for pair in pairs:
            size = read_flow_size(self._path(pair))
            if size != (height, width):
                raise InputError(
                    f"Expected optical flow of {width}x{height} px, the size of the painted frames, but "
                    f"{self._path(pair)} has {size[1]}x{size[0]} px: give --data.plan.size {max(size)}, "
                    "or --data.flow dis."
                )

    def estimate(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """See :meth:`Flow.estimate`."""
        self.check([numbers], *image.shape[-2:])
        return read_flow(self._path(numbers))

    def _path(self, numbers: tuple[int, int]) -> Path:
        return Path(self.pattern.format(frame=numbers[0], to=numbers[1]))


# Former name of the class, which saved configurations may contain.
Files = FlowFiles


def resolve_flow(name: "str | Flow") -> Flow | None:
    """Creates the flow that an option names.

    Args:
        name: ``none``, ``dis``, ``raft``, the pattern of .flo files, or a flow, which is returned as it is.

    Returns:
        The flow, or None for ``none``.

    Raises:
        InputError: the name is none of these.
    """
    if isinstance(name, Flow):
        return name
    if name == "none":
        return None
    if name == "dis":
        return DIS()
    return RAFT() if name == "raft" else FlowFiles(name)


def _convert_to_gray(image: Tensor) -> Any:
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    return (image * weights).sum(1)[0].mul(255).round().clamp(0, 255).byte().contiguous().numpy()


def _padding(length: int) -> int:
    return max(128, -(-length // 8) * 8) - length
