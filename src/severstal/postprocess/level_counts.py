"""Counts of a map's pixels, and of those inside the truth, from every level up.

Compiled by numba; prediction does not import this module, because importing numba takes most of a second.
"""

from __future__ import annotations

import numpy as np

from severstal.compiler import compiled
from severstal.postprocess.classifier import FULL
from severstal.postprocess.map_statistics import MapStatistics

LEVELS = 256


class Workspace:
    """Buffers of one thread for maps of one size, padded with zeros so that every pixel has eight neighbours."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.stride = (width + 2 + 7) // 8 * 8
        self.size = (height + 2) * self.stride
        self.field = np.zeros(self.size, dtype=np.uint8)
        self.truth = np.zeros(self.size, dtype=np.uint8)
        self.words = self.field.view(np.uint64)  # eight pixels each: most are all zero and skipped at once

    def load(self, probability: np.ndarray, truth: np.ndarray | None) -> int:
        """Copy a map ``uint8 [H, W]`` and its truth, bool ``[H, W]`` or None, and return the truth's pixel count."""
        padded = (self.height + 2, self.stride)
        window = np.s_[1:-1, 1 : self.width + 1]
        self.field.reshape(padded)[window] = probability
        if truth is None:
            self.truth[:] = 0
            return 0
        self.truth.reshape(padded)[window] = truth
        return int(np.count_nonzero(truth))


def count_levels(
    workspace: Workspace, probability: np.ndarray, truth: np.ndarray | None, area_weight: int = FULL
) -> MapStatistics:
    """Statistics of one map, without its components.

    Args:
        probability: ``uint8 [H, W]``.
        truth: bool ``[H, W]``, or None where the class does not occur.
        area_weight: 255ths that a pixel counts towards an area.
    """
    truth_area = workspace.load(probability, truth)
    counts = _count(workspace.field, workspace.words, workspace.truth)
    return MapStatistics(probability, truth, counts, truth_area, area_weight)


@compiled()
def _count(field: np.ndarray, words: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels and pixels of the truth from each level up, ``int64 [256, 2]``; see :class:`MapStatistics`."""
    counts = np.zeros((LEVELS, 2), np.int64)
    for w in range(words.size):
        if words[w]:
            for p in range(8 * w, 8 * w + 8):
                counts[field[p], 0] += 1
                counts[field[p], 1] += truth[p]
    counts[0] = 0
    for level in range(LEVELS - 2, 0, -1):
        counts[level] += counts[level + 1]
    return counts
