"""What an ensemble finds on one strip: masks, their areas and confidences, and a picture of them.

:class:`StripDefects` is what masks alone tell; :class:`StripPrediction` adds the maps that they were made from, and
:class:`StoredDefects` is what a table of results keeps of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from severstal.data.labels import CLASSES
from severstal.inference.outlines import draw_outlines
from severstal.postprocess.components import connected_components


@dataclass(frozen=True)
class StripDefects:
    """A strip and its masks. Row ``c - 1`` of every array belongs to class ``c``.

    Attributes:
        strip: the strip that was predicted, ``uint8 [H, W]``.
        masks: post-processed masks, ``bool [4, H, W]``.
    """

    strip: np.ndarray
    masks: np.ndarray

    @cached_property
    def areas(self) -> np.ndarray:
        """Pixels of each class, ``int64 [4]``."""
        return np.count_nonzero(self.masks, axis=(1, 2))

    @cached_property
    def defect_counts(self) -> np.ndarray:
        """Connected components of each class's mask, ``int64 [4]``."""
        pairs = zip(self.masks, self.areas, strict=True)
        return np.array([len(connected_components(mask)[1]) - 1 if area else 0 for mask, area in pairs])

    @property
    def classes(self) -> list[int]:
        """The classes that occur on the strip, of 1 to 4."""
        return [defect for defect in CLASSES if self.areas[defect - 1]]

    def overlay(self) -> np.ndarray:
        """The strip with each class's outline and a light fill in its colour, ``uint8 [H, W, 3]`` in RGB."""
        return draw_outlines(self.strip, self.masks)


@dataclass(frozen=True)
class StripPrediction(StripDefects):
    """Defects of one strip, with the ensemble's probabilities.

    Attributes:
        probability_maps: the ensemble's mean probability of each pixel, ``uint8 [4, H, W]``, 255 for 1.
        class_probabilities: that the strip has the class at all, ``float64 [4]``, 0 to 1.
        seconds: that the prediction took; a strip of a batch has its share.
    """

    probability_maps: np.ndarray
    class_probabilities: np.ndarray
    seconds: float

    @cached_property
    def confidences(self) -> np.ndarray:
        """Mean probability inside each class's mask, ``float64 [4]``, 0 to 1; 0 where the mask is empty."""
        pairs = zip(self.probability_maps, self.masks, strict=True)
        return np.array([float(level[mask].mean() / 255) if mask.any() else 0.0 for level, mask in pairs])

    @property
    def probabilities(self) -> np.ndarray:
        """The ensemble's mean probability of each pixel, ``float32 [4, H, W]``, 0 to 1."""
        return self.probability_maps.astype(np.float32) / 255


@dataclass(frozen=True)
class StoredDefects(StripDefects):
    """Defects of a strip that was predicted earlier.

    Attributes:
        confidences: mean probability inside each class's mask, ``float64 [4]``, 0 to 1; 0 where the mask is empty.
        seconds: that the prediction took now, none.
    """

    confidences: np.ndarray
    seconds: float = 0.0


MeasuredDefects = StripPrediction | StoredDefects
