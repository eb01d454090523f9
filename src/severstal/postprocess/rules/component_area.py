"""Rule: connected components below a minimum area are dropped."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from severstal.postprocess.classifier import FULL
from severstal.postprocess.components import connected_components
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules.axes import THRESHOLD, Axis, min_area_axis
from severstal.postprocess.rules.base import Rule


class ComponentArea(Rule):
    """A pixel counts from ``threshold`` up; a component (8 neighbours) is kept if it has ``min_area`` pixels."""

    axes: ClassVar[tuple[Axis, ...]] = (THRESHOLD, min_area_axis("minimum area of a component (px)"))

    rule: Literal["component_area"] = "component_area"
    threshold: int = Field(ge=1, le=FULL)
    min_area: int = Field(ge=0)

    def mask(self, probability: np.ndarray, area_weight: int) -> np.ndarray:
        above = probability >= self.threshold
        if self.min_area * FULL <= area_weight or not above.any():  # a single pixel is kept
            return above
        labels, areas = connected_components(above)
        keep = areas.astype(np.int64) * area_weight >= self.min_area * FULL
        keep[0] = False
        return keep[labels]

    @classmethod
    def add_to_grid(cls, statistics: MapStatistics, grid: np.ndarray) -> None:
        statistics.add_component_dice(grid)

    def __str__(self) -> str:
        return f"pixels from {self.threshold}/255, components from {self.min_area} px{self.classifier}"
