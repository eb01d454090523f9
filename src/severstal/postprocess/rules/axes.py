"""Axes of the grids of values that tuning tries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Axis:
    """One value of a rule, and all that tuning tries for it.

    Attributes:
        name: the rule's field.
        values: what is tried, in rising order, ``int64 [n]``.
        step: distance between neighbours on a plateau, in units that all axes share: 255 thresholds of step 1 are as
            long as 64 areas of step 4.
        label: for pictures.
        ticks: which of the values pictures label along this axis; where there are none, matplotlib chooses.
    """

    name: str
    values: np.ndarray
    step: int
    label: str
    ticks: tuple[int, ...] = ()

    def place(self, value: int) -> int:
        """Index of a value that is on the axis."""
        return int(np.searchsorted(self.values, value))


THRESHOLDS = np.arange(1, 256)  # of the 8-bit probability: every one there is
MIN_AREAS = np.concatenate([[0], np.geomspace(8, 20_000, 63).round().astype(np.int64)])  # px

THRESHOLD = Axis("threshold", THRESHOLDS, 1, "threshold (of 255)")


def min_area_axis(label: str) -> Axis:
    """The minimum areas, whatever it is that must have them."""
    return Axis("min_area", MIN_AREAS, 4, label, (0, 25, 100, 300, 1000, 3000, 10_000))
