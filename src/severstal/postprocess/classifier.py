"""How the classification head bears on a class's mask.

The graph's second output is the probability of each class in the strip (8-bit, like the maps). Winners of the
competition used it in three ways that are easily confused; a :class:`ClassifierUse` names one of them:

* ``hard``: there is no mask below a minimum class probability;
* ``soft``: the map is multiplied by the class probability before it is thresholded;
* ``area``: pixels are weighted by the class probability, so that an unlikely class needs a larger area to be kept.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

FULL = 255


class ClassifierUse(BaseModel):
    """How one class uses the head. Frozen, so that it can be a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: Literal["none", "hard", "soft", "area"] = "none"
    min_probability: int | None = Field(None, ge=1, le=FULL, description="of hard: class probability, of 255")

    @model_validator(mode="after")
    def _min_probability_belongs_to_hard(self) -> ClassifierUse:
        if (self.min_probability is not None) != (self.use == "hard"):
            raise ValueError("min_probability: the hard gate takes one, the others none")
        return self

    def apply(self, probability: np.ndarray, class_probability: int) -> np.ndarray:
        """The map after the gate, ``uint8 [H, W]``: the same array unless the gate is hard or soft and changes it."""
        if self.min_probability is not None and class_probability < self.min_probability:
            return np.zeros_like(probability)
        if self.use == "soft" and class_probability < FULL:
            return _times(class_probability)[probability]
        return probability

    def area_weight(self, class_probability: int) -> int:
        """255ths that a pixel counts towards an area."""
        return class_probability if self.use == "area" else FULL

    def __str__(self) -> str:
        return {
            "none": "",
            "hard": f", none below a class probability of {self.min_probability}/255",
            "soft": ", the map times the class probability",
            "area": ", areas times the class probability",
        }[self.use]


def _times(class_probability: int) -> np.ndarray:
    """Every level times the class probability, rounded half up: ``uint8 [256]``."""
    return ((np.arange(256) * class_probability * 2 + FULL) // (2 * FULL)).astype(np.uint8)


UNUSED = ClassifierUse()
HARD_LEVELS = (5, 13, 26, 51, 77, 102, 128, 153, 179, 204, 230)  # of the hard gate: 2 %, 5 %, and tenths
CANDIDATES = (
    UNUSED,
    *(ClassifierUse(use="hard", min_probability=level) for level in HARD_LEVELS),
    ClassifierUse(use="soft"),
    ClassifierUse(use="area"),
)
