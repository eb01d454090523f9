"""Masks as runs down the columns, drawn straight into a window: no plane of a whole strip is made on the way.

A strip's codes are parsed once and kept as arrays, some kilobytes each; drawing a crop of them takes microseconds.
Compiled by numba, as :mod:`severstal.tuning.component_tree`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from severstal.data import rle


@dataclass(frozen=True)
class Runs:
    """The masks of one strip.

    Attributes:
        height, width: of the strip.
        classes: for each class that occurs, zero-based starts and lengths, ``int64 [n]`` each.
    """

    height: int
    width: int
    classes: dict[int, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, codes: dict[int, str], height: int, width: int) -> Runs:
        """Parse a strip's codes (already checked when the labels were read)."""
        return cls(height, width, {defect: rle.runs(code, height, width) for defect, code in codes.items()})

    def bits(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A window of the bit map, ``uint8 [height, width]``: bit ``c - 1`` says that class ``c`` is there."""
        made = np.zeros((height, width), dtype=np.uint8)
        for defect, (starts, lengths) in self.classes.items():
            _draw(starts, lengths, self.height, top, left, 1 << (defect - 1), made)
        return made

    def count(self, defect: int) -> int:
        """Pixels of a class; overlapping codes were refused, so lengths add up."""
        return int(self.classes[defect][1].sum())

    def pixel(self, defect: int, number: int) -> tuple[int, int]:
        """Row and column of a class's pixel, numbered from 0 along the rows."""
        return _find(*self.classes[defect], self.height, number)


@njit(nogil=True, cache=True)
def _draw(starts, lengths, strip_height, top, left, bit, made):
    height, width = made.shape
    for run in range(starts.size):
        place, end = starts[run], starts[run] + lengths[run]
        if end <= left * strip_height:
            continue
        if place >= (left + width) * strip_height:
            break
        while place < end:
            column = place // strip_height
            first = place - column * strip_height
            last = min(strip_height, first + end - place)
            place += last - first
            if left <= column < left + width:
                for row in range(max(first, top), min(last, top + height)):
                    made[row - top, column - left] |= bit


@njit(nogil=True, cache=True)
def _find(starts, lengths, strip_height, number):
    per_row = np.zeros(strip_height, np.int64)
    for run in range(starts.size):
        for place in range(starts[run], starts[run] + lengths[run]):
            per_row[place % strip_height] += 1
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
