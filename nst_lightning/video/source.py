"""Where the pictures of a film come from: one interface, and which class serves a path."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture as it is decoded: ``(height, width, 3)``, sRGB."""


@dataclass(frozen=True)
class Decoded:
    """A picture of a film.

    Attributes:
        pixels: ``(height, width, 3)``, 8 bit sRGB, upright, as it is stored.
        time: when it is shown, in seconds.
        duration: for how long, in seconds, as far as the file says.
    """

    pixels: Pixels
    time: Fraction
    duration: Fraction


class Source(ABC):
    """A film as it is stored.

    Attributes:
        problem: what is wrong with the end of the film, once it was read that far; None where all is well.
    """

    def __init__(self) -> None:
        self.problem: str | None = None

    @abstractmethod
    def decoded(self) -> Iterator[Decoded]:
        """Decodes from the start, a picture at a time.

        A file that ends early or is damaged ends the iteration; :attr:`problem` then says so.

        Raises:
            InputError: there is no film.
        """

    @property
    def stretch(self) -> Fraction:
        """Width of a stored pixel over its height, once the film was begun to be read; square unless known."""
        return Fraction(1)

    @property
    def sound(self) -> str | None:
        """The file that has the film's sound, or None."""
        return None
