"""Sources of weights of the VGG networks: files, downloads, and the input that they were trained on."""

import hashlib
import http.client
import urllib.error
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nst_lightning.errors import InputError

Preprocessing = Literal["imagenet", "oxford"]


@dataclass(frozen=True)
class InputTransform:
    """The affine map from sRGB in [0, 1] to the input of a network, ``(image - mean) / std`` per channel.

    Attributes:
        mean: mean of red, green and blue, in units of the image.
        std: standard deviation of red, green and blue, in units of the image.
        bgr: whether the first convolution was trained on blue, green, red.
        bias_scale: factor on every bias; see :data:`OXFORD_SCALE`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    bias_scale: float = 1.0


# The Oxford networks were trained on 0 to 255 minus a mean, without a division. A network of convolutions, ReLUs and
# poolings is positively homogeneous: dividing its input and all its biases by a constant divides every activation by
# it. 255 * 0.225 (the mean std of torchvision's inputs) gives activations of the scale of torchvision's networks, so
# that weights of losses mean about the same with both.
OXFORD_SCALE = 255 * 0.225

INPUT_TRANSFORMS: Mapping[Preprocessing, InputTransform] = {
    "imagenet": InputTransform(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "oxford": InputTransform(
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
        std=(OXFORD_SCALE / 255,) * 3,
        bgr=True,
        bias_scale=1 / OXFORD_SCALE,
    ),
}


@dataclass(frozen=True)
class PublishedWeights:
    """A file that can be downloaded.

    Attributes:
        urls: addresses in the order in which they are tried.
        sha256: first digits of its checksum.
        preprocessing: the input it was trained on.
        license: license of the file.
    """

    urls: tuple[str, ...]
    sha256: str
    preprocessing: Preprocessing
    license: str

    @property
    def file_name(self) -> str:
        """Name of the downloaded file."""
        return self.urls[0].rsplit("/", 1)[1]


def _torchvision_weights(file_name: str, sha256: str) -> PublishedWeights:
    return PublishedWeights((f"https://download.pytorch.org/models/{file_name}",), sha256, "imagenet", "BSD-3-Clause")


def _oxford_weights(file_name: str, sha256: str) -> PublishedWeights:
    urls = (
        f"https://web.eecs.umich.edu/~justincj/models/{file_name}",
        f"https://s3-us-west-2.amazonaws.com/jcjohns-models/{file_name}",
    )
    return PublishedWeights(urls, sha256, "oxford", "CC BY 4.0")


# Downloadable files by network and value of `weights`.
PUBLISHED: Mapping[tuple[str, str], PublishedWeights] = {
    ("VGG19", "imagenet"): _torchvision_weights("vgg19-dcbb9e9d.pth", "dcbb9e9d"),
    ("VGG16", "imagenet"): _torchvision_weights("vgg16-397923af.pth", "397923af"),
    ("VGG19", "oxford"): _oxford_weights("vgg19-d01eb7cb.pth", "d01eb7cb"),
    ("VGG16", "oxford"): _oxford_weights("vgg16-00b39a1b.pth", "00b39a1b"),
}


def cache_folder() -> Path:
    """Returns the folder of downloaded weights, which is shared with torchvision."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def download_weights(published: PublishedWeights) -> Path:
    """Returns the path of a published file; downloads it if it is missing and always verifies its checksum.

    Raises:
        InputError: the file cannot be downloaded, or its checksum is wrong.
    """
    path = cache_folder() / published.file_name
    if not path.exists():
        _download(published, path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(published.sha256):
        raise InputError(
            f"Expected a sha256 of {path} that begins with {published.sha256}, but got {digest[:16]}...: "
            "the file is damaged or another one; delete it to download it again."
        )
    return path


def _download(published: PublishedWeights, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in published.urls:
        try:
            # Writes to a temporary file, verifies the checksum, renames.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=published.sha256)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            failures.append(f"{url} ({error})")
        except RuntimeError as error:
            if "hash" not in str(error):
                raise
            failures.append(f"{url} (wrong checksum)")
        else:
            return
    raise InputError(
        f"Expected to download {published.file_name}, but got nothing usable from {' or '.join(failures)}. "
        f"Put the file into {path.parent} by hand, or name another one with --model.backbone.weights FILE."
    )


def read_preprocessing(path: Path) -> Preprocessing | None:
    """Returns the preprocessing that a file states by its published name or its safetensors header, or None."""
    for published in PUBLISHED.values():
        if path.name == published.file_name:
            return published.preprocessing
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            metadata = file.metadata() or {}
        stated = metadata.get("preprocessing", metadata.get("flavor"))
        if stated in INPUT_TRANSFORMS:
            return "oxford" if stated == "oxford" else "imagenet"
        if metadata.get("input", "").startswith("BGR, 0..255"):
            return "oxford"
    return None


def read_tensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """Reads some of the tensors of a weights file, in float32.

    Args:
        path: a ``.safetensors`` file, or a ``.pth`` or ``.pt`` file of ``torch.save``, which is read with
            ``weights_only=True``.
        wanted: returns whether to read the tensor of a name; the others are not read if the format allows it.

    Raises:
        InputError: there is no such file, or it has another format.
    """
    if not path.is_file():
        raise InputError(f"Expected a weights file, but there is none at {path}.")
    try:
        if path.suffix == ".safetensors":
            with _open_safetensors(path) as file:
                return {name: file.get_tensor(name).float() for name in file.keys() if wanted(name)}  # noqa: SIM118
        # Files of torch before 1.6 are not zip archives and cannot be memory-mapped.
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        return {name: tensor.float() for name, tensor in tensors.items() if wanted(name)}
    except InputError:
        raise
    except Exception as error:  # torch.load raises many kinds of exceptions
        raise InputError(f"Expected weights in {path}, but torch cannot read the file.") from error


def _open_safetensors(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"Expected weights in {path}, but it cannot be read: {error}.") from error
