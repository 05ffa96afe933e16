"""Optical flow: where each pixel of one frame is in another one."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.video.needs import import_extra

MAGIC = 202021.25
"""What a .flo file of the Middlebury benchmark begins with."""


class Flow(ABC):
    """Something that knows where the pixels of one frame are in another one."""

    @abstractmethod
    def between(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """From each pixel of an image to its place in another one.

        Args:
            image: ``(1, 3, height, width)`` in [0, 1].
            other: likewise.
            numbers: those of the two frames in the film.

        Returns:
            ``(1, 2, height, width)`` in px, along the rows first.
        """

    @abstractmethod
    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Makes sure before a run that it can give the flows of these pairs of frames at this size.

        Raises:
            InputError: it cannot.
        """


class DIS(Flow):
    """Dense inverse search (Kroeger et al. 2016) as OpenCV has it: quick, and nothing to download.

    Args:
        preset: how carefully.
    """

    smallest = 16
    """Px each way that frames have at least."""

    def __init__(self, preset: Literal["ultrafast", "fast", "medium"] = "medium") -> None:
        self.preset = preset

    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Makes sure that OpenCV is there and the frames are large enough."""
        import_extra("cv2")
        if min(height, width) < self.smallest:
            raise InputError(
                f"Expected frames of at least {self.smallest} px each way for optical flow, but got {width}x{height} "
                "px: raise data.plan.size or give --data.flow none."
            )

    def between(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """See :meth:`Flow.between`."""
        flow = self._made().calc(_gray(image), _gray(other), None)
        return torch.from_numpy(np.ascontiguousarray(flow)).permute(2, 0, 1)[None].contiguous()

    def _made(self) -> Any:
        """A new one for each pair: small frames come out a little otherwise where it has seen others before."""
        cv2 = import_extra("cv2")
        cv2.setNumThreads(1)  # its result depends on their number
        presets = {"ultrafast": 0, "fast": 1, "medium": 2}
        return cv2.DISOpticalFlow_create(presets[self.preset])


class RAFT(Flow):
    """The network of Teed and Deng 2020 as torchvision has it: slower, better where things move far.

    Args:
        model: which of the two.
        weights: a file with torchvision's weights; downloaded once unless given.
        device: where it computes: ``auto`` is a GPU where there is one.
    """

    def __init__(
        self, model: Literal["small", "large"] = "small", weights: str | None = None, device: str = "auto"
    ) -> None:
        self.model = model
        self.weights = weights
        self.device = device
        self._network: Any = None

    def check(self, pairs: Iterable[tuple[int, int]], height: int, width: int) -> None:
        """Makes sure that the weights are there."""
        self._load()

    def between(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """See :meth:`Flow.between`; frames are padded to at least 128 px and to multiples of 8."""
        network, device = self._load()
        height, width = image.shape[-2:]
        down, along = _padding(height), _padding(width)
        pair = [functional.pad(2 * frame - 1, (0, along, 0, down), mode="replicate") for frame in (image, other)]
        with torch.inference_mode():
            flow: Tensor = network(pair[0].to(device), pair[1].to(device))[-1]
        return flow[..., :height, :width].float().cpu().clone()

    def _load(self) -> tuple[Any, torch.device]:
        name = "cuda" if self.device == "auto" and torch.cuda.is_available() else self.device
        device = torch.device("cpu" if name == "auto" else name)
        if self._network is None:
            self._network = self._made().to(device)
        return self._network, device

    def _made(self) -> Any:
        from torchvision.models import optical_flow  # type: ignore[import-untyped]

        build = optical_flow.raft_small if self.model == "small" else optical_flow.raft_large
        if self.weights is None:
            return build(weights="DEFAULT").eval()
        network = build()
        try:
            network.load_state_dict(torch.load(self.weights, map_location="cpu", weights_only=True))
        except FileNotFoundError as error:
            raise InputError(f"Expected weights of RAFT, but there is no file at {self.weights}.") from error
        except Exception as error:  # torch.load raises whatever its unpickler happens to meet
            raise InputError(f"Expected weights of raft_{self.model}, but {self.weights} has others.") from error
        return network.eval()


class Files(Flow):
    """Flows from .flo files, of the size that is painted at.

    Args:
        pattern: their path with ``{frame}`` and ``{to}`` for the numbers of the two frames among those that are
            painted, from 0: ``flow/{frame}_{to}.flo`` holds, in px, where each pixel of one is in the other. Both
            directions are needed. ``{frame:04d}`` fills up with zeros.
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
        """Looks at the beginning of each file."""
        for pair in pairs:
            found = read_flow_size(self._path(pair))
            if found != (height, width):
                raise InputError(
                    f"Expected optical flow of {width}x{height} px, the size that is painted at, but "
                    f"{self._path(pair)} has {found[1]}x{found[0]} px: give --data.plan.size {max(found)}, "
                    "or --data.flow dis."
                )

    def between(self, image: Tensor, other: Tensor, numbers: tuple[int, int]) -> Tensor:
        """See :meth:`Flow.between`."""
        self.check([numbers], *image.shape[-2:])
        return read_flow(self._path(numbers))

    def _path(self, numbers: tuple[int, int]) -> Path:
        return Path(self.pattern.format(frame=numbers[0], to=numbers[1]))


def read_flow_size(path: Path) -> tuple[int, int]:
    """Height and width of a .flo file.

    Raises:
        InputError: there is no such file, or it is something else.
    """
    if not path.is_file():
        raise InputError(f"Expected optical flow in {path}, but there is no such file: --data.flow dis computes it.")
    with path.open("rb") as file:
        head = file.read(12)
    if len(head) < 12 or struct.unpack("<f", head[:4])[0] != MAGIC:
        raise InputError(f"Expected a .flo file, but {path} is none.")
    width, height = struct.unpack("<ii", head[4:])
    if path.stat().st_size != 12 + 8 * width * height:
        raise InputError(f"Expected a whole .flo file, but {path} is cut off.")
    return height, width


def read_flow(path: Path) -> Tensor:
    """A .flo file as ``(1, 2, height, width)``; see :func:`read_flow_size`."""
    height, width = read_flow_size(path)
    values = np.fromfile(path, dtype="<f4", offset=12).reshape(height, width, 2)
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None].contiguous()


def write_flow(path: Path, flow: Tensor) -> None:
    """Writes ``(1, 2, height, width)`` as a .flo file."""
    height, width = flow.shape[-2:]
    values = flow[0].permute(1, 2, 0).contiguous().numpy().astype("<f4")
    write_bytes(path, struct.pack("<fii", MAGIC, width, height) + values.tobytes())


def resolve_flow(name: "str | Flow") -> Flow | None:
    """The flow that is meant: ``none``, ``dis``, ``raft``, the pattern of .flo files, or one that is at hand."""
    if isinstance(name, Flow):
        return name
    if name == "none":
        return None
    if name == "dis":
        return DIS()
    return RAFT() if name == "raft" else Files(name)


def _gray(image: Tensor) -> Any:
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    return (image * weights).sum(1)[0].mul(255).round().clamp(0, 255).byte().contiguous().numpy()


def _padding(length: int) -> int:
    return max(128, -(-length // 8) * 8) - length
