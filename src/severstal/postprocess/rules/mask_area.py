"""Rule: a mask below a minimum area is dropped, however many components it has."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from severstal.postprocess.classifier import FULL
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules.axes import MIN_AREAS, THRESHOLD, THRESHOLDS, Axis, min_area_axis
from severstal.postprocess.rules.base import Rule


class MaskArea(Rule):
    """A pixel counts from ``threshold`` up; the mask is kept if it has ``min_area`` pixels."""

    axes: ClassVar[tuple[Axis, ...]] = (THRESHOLD, min_area_axis("minimum area of the mask (px)"))

    rule: Literal["mask_area"] = "mask_area"
    threshold: int = Field(ge=1, le=FULL)
    min_area: int = Field(ge=0)

    def mask(self, probability: np.ndarray, area_weight: int) -> np.ndarray:
        above = probability >= self.threshold
        return above if np.count_nonzero(above) * area_weight >= self.min_area * FULL else np.zeros_like(above)

    @classmethod
    def add_to_grid(cls, statistics: MapStatistics, grid: np.ndarray) -> None:
        areas = statistics.counts[THRESHOLDS, 0]
        kept = areas[:, None] * statistics.area_weight >= MIN_AREAS * FULL
        grid += np.where(kept, statistics.dice(THRESHOLDS)[:, None], statistics.empty_dice)

    def __str__(self) -> str:
        return f"pixels from {self.threshold}/255, masks from {self.min_area} px{self.classifier}"
