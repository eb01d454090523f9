"""How the classification head's word on a strip bears on its mask.

The graph's second output says for each class how surely the strip has it at all (8-bit, like the maps). Winners used
it in three ways that are easily confused; a :class:`Presence` says which:

* ``hard``: no mask at all below a level;
* ``soft``: the map is multiplied by it before it is cut;
* ``area``: pixels count by it, so an unlikely class needs a larger area to be kept.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

FULL = 255


class ClassifierUse(BaseModel):
    """One class's use of the head. Frozen, so that it can be a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: Literal["none", "hard", "soft", "area"] = "none"
    min_probability: int | None = Field(None, ge=1, le=FULL, description="of hard: the presence that a mask needs")

    @model_validator(mode="after")
    def _least_is_of_a_hard_gate(self) -> ClassifierUse:
        if (self.min_probability is not None) != (self.use == "hard"):
            raise ValueError("min_probability: a hard gate takes one, the others none")
        return self

    def applied(self, probability: np.ndarray, class_probability: int) -> np.ndarray:
        """The map to cut: ``uint8 [H, W]``, as it came unless the gate is hard or soft."""
        if self.use == "hard" and class_probability < self.min_probability:
            return np.zeros_like(probability)
        if self.use == "soft" and class_probability < FULL:
            return _times(class_probability)[probability]
        return probability

    def area_weight(self, class_probability: int) -> int:
        """By how many 255ths a pixel counts towards an area."""
        return class_probability if self.use == "area" else FULL

    def __str__(self) -> str:
        return {
            "none": "",
            "hard": f", none below a presence of {self.min_probability}/255",
            "soft": ", the map times the presence",
            "area": ", areas times the presence",
        }[self.use]


def _times(class_probability: int) -> np.ndarray:
    """Every level times the presence, rounded half up: ``uint8 [256]``."""
    return ((np.arange(256) * class_probability * 2 + FULL) // (2 * FULL)).astype(np.uint8)


UNUSED = ClassifierUse()
LEVELS = (5, 13, 26, 51, 77, 102, 128, 153, 179, 204, 230)  # of the hard gate: 2 %, 5 %, and tenths
CANDIDATES = (
    UNUSED,
    *(ClassifierUse(use="hard", min_probability=level) for level in LEVELS),
    ClassifierUse(use="soft"),
    ClassifierUse(use="area"),
)
