"""The masks of a strip as runs down the columns; a crop is drawn from the runs without decoding the whole strip.

A strip's codes are parsed once into arrays of a few kilobytes; drawing a crop from them takes microseconds. The loops
are compiled by numba.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from severstal.compiler import compiled
from severstal.data import rle


@dataclass(frozen=True)
class RunLengthMasks:
    """The masks of one strip.

    Attributes:
        height, width: of the strip.
        runs: for each class that the strip shows, zero-based starts and lengths, ``int64 [n]`` each.
    """

    height: int
    width: int
    runs: dict[int, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def parse(cls, codes: dict[int, str], height: int, width: int) -> RunLengthMasks:
        """Parse a strip's run-length code of each class.

        Raises:
            InputError: as :func:`severstal.data.rle.runs`.
        """
        return cls(height, width, {defect: rle.runs(code, height, width) for defect, code in codes.items()})

    def bit_map(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A crop of all masks, ``uint8 [height, width]``: bit ``c - 1`` is set where the mask of class ``c`` is."""
        bits = np.zeros((height, width), dtype=np.uint8)
        for defect, (starts, lengths) in self.runs.items():
            _draw(starts, lengths, self.height, top, left, 1 << (defect - 1), bits)
        return bits

    def area(self, defect: int) -> int:
        """Pixels of a class; overlapping runs were refused, so the lengths add up."""
        return int(self.runs[defect][1].sum())

    def pixel(self, defect: int, number: int) -> tuple[int, int]:
        """Row and column of a pixel of a class; pixels are numbered from 0 along the rows."""
        return _find_pixel(*self.runs[defect], self.height, number)


@compiled()
def _draw(
    starts: np.ndarray,
    lengths: np.ndarray,
    strip_height: int,
    top: int,
    left: int,
    bit: int,
    bits: np.ndarray,
) -> None:
    """Set ``bit`` in ``bits`` (``uint8 [height, width]``, a crop at ``top, left``) where runs cover it."""
    height, width = bits.shape
    for run in range(starts.size):
        position, end = starts[run], starts[run] + lengths[run]
        if end <= left * strip_height:
            continue
        if position >= (left + width) * strip_height:
            break
        while position < end:
            column = position // strip_height
            first = position - column * strip_height
            last = min(strip_height, first + end - position)
            position += last - first
            if left <= column < left + width:
                for row in range(max(first, top), min(last, top + height)):
                    bits[row - top, column - left] |= bit


@compiled()
def _find_pixel(starts: np.ndarray, lengths: np.ndarray, strip_height: int, number: int) -> tuple[int, int]:
    """Row and column of the pixel with this number along the rows; (-1, -1) beyond the last."""
    per_row = np.zeros(strip_height, np.int64)
    for run in range(starts.size):
        for position in range(starts[run], starts[run] + lengths[run]):
            per_row[position % strip_height] += 1
    row = 0
    while number >= per_row[row]:
        number -= per_row[row]
        row += 1
    for run in range(starts.size):  # columns come in order
        column = (starts[run] - row + strip_height - 1) // strip_height
        while column * strip_height + row < starts[run] + lengths[run]:
            if number == 0:
                return row, column
            number -= 1
            column += 1
    return -1, -1
