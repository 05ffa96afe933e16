"""The interface of everything that decodes a film."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# A decoded picture: ``(height, width, 3)``, 8-bit sRGB.
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class DecodedFrame:
    """A frame as stored in the file.

    Attributes:
        pixels: ``(height, width, 3)``, 8-bit sRGB, upright.
        time: when the frame is shown, in seconds.
        duration: how long it is shown according to the file, in seconds.
    """

    pixels: Pixels
    time: Fraction
    duration: Fraction


class FilmReader(ABC):
    """Decodes a film from a file or folder.

    Attributes:
        problem: why the film ends early, set when decoding reaches that point; None if the file is complete.
    """

    def __init__(self) -> None:
        self.problem: str | None = None

    @abstractmethod
    def decode(self) -> Iterator[DecodedFrame]:
        """Yields all frames from the start, one at a time.

        A file that is cut off or damaged ends the iteration early and sets :attr:`problem`.

        Raises:
            InputError: the file is not a film.
        """

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel divided by its height, known after the first frame; 1 unless the file says so."""
        return Fraction(1)

    @property
    def sound(self) -> str | None:
        """Path of the file with the sound, or None if the film is silent."""
        return None
