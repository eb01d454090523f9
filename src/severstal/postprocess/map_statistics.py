"""A probability map, its truth and their pixel counts: what the grid of every rule is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from severstal.postprocess.metric import dice_of_counts


@dataclass(frozen=True)
class MapStatistics:
    """One map and what was counted in it.

    Attributes:
        probability: ``uint8 [H, W]``, after the classifier's gate. A rule that needs more than the counts computes it
            from the map and the truth, in its own file.
        truth: bool ``[H, W]``, or None where the class does not occur.
        counts: for each level from 1 up, the number of pixels of ``probability >= level`` and how many of them belong
            to the truth, ``int64 [256, 2]``. Row 0 is not used.
        truth_area: number of pixels of the truth.
        area_weight: 255ths that a pixel counts towards an area (see :mod:`severstal.postprocess.classifier`).
    """

    probability: np.ndarray
    truth: np.ndarray | None
    counts: np.ndarray
    truth_area: int
    area_weight: int

    @property
    def empty_dice(self) -> float:
        """Dice of an empty mask."""
        return 0.0 if self.truth_area else 1.0

    def dice(self, levels: np.ndarray) -> np.ndarray:
        """Dice of each mask ``probability >= level``, ``float64 [n]``, for levels ``int [n]``."""
        area, overlap = self.counts[levels].T
        return dice_of_counts(overlap, area + self.truth_area)

    def add_component_dice(self, grid: np.ndarray) -> None:
        """Add the Dice at every (threshold, minimum area of a component) to ``float64 [255, 64]``.

        Raises:
            NotImplementedError: if the statistics were counted without a component tree.
        """
        raise NotImplementedError("counts per level know no components: severstal.tuning.component_tree counts both")
