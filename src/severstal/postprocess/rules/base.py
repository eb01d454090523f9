"""What every rule of post-processing is: values of one class that turn a probability map into a mask.

A rule is one file with one class: its values are pydantic fields, its mask is :meth:`Rule.mask`, and what tuning
needs (the grid of values to try, and their scores) is :attr:`Rule.axes` and :meth:`Rule.add_to_grid`. To add a rule,
write such a file and name its class in ``RULES`` of :mod:`severstal.postprocess.rules`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from severstal.postprocess.classifier import FULL, UNUSED, ClassifierUse
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules.axes import Axis

Cell = tuple[int, ...]


class Rule(BaseModel, ABC):
    """Post-processing values of one class. Frozen, so that it can be a key.

    Attributes:
        rule: the rule's name in JSON.
        classifier: how the class probability of the classification head bears on the mask.
        axes: of the rule's grid, each named as the field whose values it holds.
        picture_axes: which two of them a picture shows, horizontal and vertical.
        levels: fields that are levels of the probability, of 255, the one that decides on most pixels first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    axes: ClassVar[tuple[Axis, ...]]
    picture_axes: ClassVar[tuple[int, int]] = (0, 1)
    levels: ClassVar[tuple[str, ...]] = ("threshold",)

    rule: str
    classifier: ClassifierUse = UNUSED

    def apply(self, probability: np.ndarray, class_probability: int) -> np.ndarray:
        """The mask, bool ``[H, W]``, of a map ``uint8 [H, W]`` and the head's probability of the class, 0 to 255."""
        class_probability = int(class_probability)  # a uint8 would overflow in products
        gated = self.classifier.apply(probability, class_probability)
        return self.mask(gated, self.classifier.area_weight(class_probability))

    @abstractmethod
    def mask(self, probability: np.ndarray, area_weight: int) -> np.ndarray:
        """The mask, bool ``[H, W]``.

        Args:
            probability: ``uint8 [H, W]``, after the classifier's gate.
            area_weight: 255ths that a pixel counts towards an area.
        """

    @classmethod
    @abstractmethod
    def add_to_grid(cls, statistics: MapStatistics, grid: np.ndarray) -> None:
        """Add the Dice of one map at every cell to ``grid``, ``float64`` of the shape of :meth:`empty_grid`."""

    @abstractmethod
    def __str__(self) -> str:
        """The values in words, :attr:`classifier` included."""

    # -- the grid ----------------------------------------------------------------------------------

    @classmethod
    def empty_grid(cls) -> np.ndarray:
        """Zeros, ``float64``, one dimension per axis."""
        return np.zeros([len(axis.values) for axis in cls.axes])

    @classmethod
    def steps(cls) -> tuple[int, ...]:
        """Distance between neighbouring cells along each axis."""
        return tuple(axis.step for axis in cls.axes)

    @classmethod
    def at(cls, cell: Cell, classifier: ClassifierUse = UNUSED) -> Self:
        """The rule with the values of a cell."""
        values = {axis.name: int(axis.values[i]) for axis, i in zip(cls.axes, cell, strict=True)}
        return cls.model_validate(values | {"classifier": classifier})

    def cell(self) -> Cell:
        """Where values that :meth:`at` gave stand in the grid."""
        return tuple(axis.place(getattr(self, axis.name)) for axis in self.axes)

    # -- pictures ----------------------------------------------------------------------------------

    @classmethod
    def horizontal(cls) -> Axis:
        """Axis along which a picture of the grid runs from left to right."""
        return cls.axes[cls.picture_axes[0]]

    @classmethod
    def vertical(cls) -> Axis:
        """Axis along which a picture of the grid runs from bottom to top."""
        return cls.axes[cls.picture_axes[1]]

    def plane(self, grid: np.ndarray) -> np.ndarray:
        """What a picture shows of a grid, ``[horizontal, vertical]``: other axes are held at this rule's values."""
        shown = [slice(None) if i in self.picture_axes else place for i, place in enumerate(self.cell())]
        plane = grid[tuple(shown)]
        return plane if self.picture_axes[0] < self.picture_axes[1] else plane.T

    # -- levels ------------------------------------------------------------------------------------

    @property
    def decision_level(self) -> int:
        """Level of the probability, 1 to 255, around which a pixel changes sides."""
        return getattr(self, self.levels[0])

    def shifted(self, logits: float) -> Self:
        """The rule with its levels moved by so many logits: a higher one selects fewer pixels."""
        return self.model_copy(update={name: _shifted(getattr(self, name), logits) for name in self.levels})


def _shifted(level: int, logits: float) -> int:
    share = min(level, FULL - 0.5) / FULL  # the logit of the highest level is infinite
    logit = math.log(share / (1 - share)) + logits
    return min(max(round(FULL / (1 + math.exp(-logit))), 1), FULL)
