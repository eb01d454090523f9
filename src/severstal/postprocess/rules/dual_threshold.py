"""Rule: a mask is drawn at a low threshold, and kept if enough of its pixels reach a high one."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from severstal.postprocess.classifier import FULL
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules.axes import MIN_AREAS, Axis, min_area_axis
from severstal.postprocess.rules.base import Rule

COARSE_THRESHOLDS = np.arange(8, 256, 8)  # of both thresholds: all pairs of all 255 would be 60 times as many


class DualThreshold(Rule):
    """A pixel counts from ``threshold`` up; the mask is kept if ``min_area`` pixels reach ``high_threshold``."""

    axes: ClassVar[tuple[Axis, ...]] = (
        Axis("high_threshold", COARSE_THRESHOLDS, 8, "high threshold (of 255)"),
        min_area_axis("minimum area above the high threshold (px)"),
        Axis("threshold", COARSE_THRESHOLDS, 8, "threshold (of 255)"),
    )
    picture_axes: ClassVar[tuple[int, int]] = (2, 1)
    levels: ClassVar[tuple[str, ...]] = ("threshold", "high_threshold")

    rule: Literal["dual_threshold"] = "dual_threshold"
    threshold: int = Field(ge=1, le=FULL)
    high_threshold: int = Field(ge=1, le=FULL)
    min_area: int = Field(ge=0)

    def mask(self, probability: np.ndarray, area_weight: int) -> np.ndarray:
        area = np.count_nonzero(probability >= self.high_threshold)
        above = probability >= self.threshold
        return above if area * area_weight >= self.min_area * FULL else np.zeros_like(above)

    @classmethod
    def add_to_grid(cls, statistics: MapStatistics, grid: np.ndarray) -> None:
        areas = statistics.counts[COARSE_THRESHOLDS, 0]
        kept = areas[:, None] * statistics.area_weight >= MIN_AREAS * FULL
        grid += np.where(kept[:, :, None], statistics.dice(COARSE_THRESHOLDS), statistics.empty_dice)

    def __str__(self) -> str:
        kept = f"where at least {self.min_area} px reach {self.high_threshold}/255"
        return f"pixels from {self.threshold}/255, {kept}{self.classifier}"
