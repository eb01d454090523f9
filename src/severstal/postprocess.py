"""How a map of 8-bit probabilities becomes a mask: cut at a threshold, then drop what is too small.

Tuning, prediction and reports all use this one function. Winners dropped small components, or small whole masks,
or cut at one threshold and counted at a higher one; the three are easily confused, so a rule says which it is. A fourth
chooses the threshold strip by strip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from severstal import promise
from severstal.artifacts import read_json
from severstal.errors import InputError
from severstal.presence import FULL, UNUSED, Presence

CONNECTIVITY = 8
SCORES = ("all_empty", "default", "tuned", "honest")


class Cut(BaseModel):
    """Values of one class: a pixel counts from ``threshold`` (of 255) up, and then, by ``rule``,

    * ``component``: a connected component (8 neighbours) is kept from ``min_area`` pixels up;
    * ``whole``: the mask is kept if it has at least ``min_area`` pixels;
    * ``triplet``: the mask is kept if at least ``min_area`` pixels reach the higher threshold ``gate``;
    * ``promise``: each strip is cut where it promises most Dice if ``threshold`` is read as one half, and the mask is
      kept if it promises at least ``least`` 255ths (see :mod:`severstal.promise`).

    ``presence`` says what the classification head has to do with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["component", "whole", "triplet", "promise"] = "component"
    threshold: int = Field(ge=1, le=255)
    min_area: int = Field(ge=0)
    gate: int | None = Field(None, ge=1, le=255)
    least: int | None = Field(None, ge=0, le=255)
    presence: Presence = UNUSED

    @model_validator(mode="after")
    def _gate_is_of_a_triplet(self) -> Cut:
        if (self.gate is not None) != (self.rule == "triplet"):
            raise ValueError("gate: the triplet rule takes one, the others none")
        return self

    @model_validator(mode="after")
    def _least_is_of_a_promise(self) -> Cut:
        if (self.least is not None) != (self.rule == "promise") or (self.least is not None and self.min_area):
            raise ValueError("least: the promise rule takes it, and 0 for min_area, the others do not")
        return self

    @property
    def smallest(self) -> int:
        """What a mask or component must have to be kept: pixels, or 255ths of promised Dice."""
        return self.min_area if self.least is None else self.least

    def __str__(self) -> str:
        pixels = f"pixels from {self.threshold}/255"
        if self.rule == "promise":
            pixels = f"where most Dice is promised with {self.threshold}/255 as one half"
        kept = {
            "component": f"components from {self.min_area} px",
            "whole": f"whole masks from {self.min_area} px",
            "triplet": f"where at least {self.min_area} px reach {self.gate}/255",
            "promise": f"if that is at least {self.least}/255",
        }[self.rule]
        return f"{pixels}, {kept}{self.presence}"


DEFAULT = Cut(threshold=128, min_area=0)


class Choice(BaseModel):
    """How maps are averaged and cut: one complete choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blend: dict[str, Annotated[int, Field(ge=0)]]
    cuts: tuple[Cut, Cut, Cut, Cut]


class Tuning(BaseModel):
    """What ``folds/postprocess.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: str = Field(description="of the out-of-fold maps and labels that the values were tuned on")
    members: dict[str, str] = Field(description="hash of each member's weights")
    blend: dict[str, Annotated[int, Field(ge=0)]] = Field(description="weight of each encoder's maps in their mean")
    cuts: tuple[Cut, Cut, Cut, Cut]
    scores: dict[str, dict[str, float]] = Field(description="all-empty, default, tuned, honest: mean and per class")
    intervals: dict[str, dict[str, tuple[float, float]]] = Field(
        description="95 % of bootstrap resamples of the strips: of each score, and of gain: honest less default"
    )
    strips: int
    held_out: tuple[Choice, ...] = Field(
        (), description="for each fold, what was chosen without its strips: the values of the honest score"
    )

    @field_validator("scores")
    @classmethod
    def _holds_every_score(cls, scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        if not all({"mean", "1", "2", "3", "4"} <= set(scores.get(name, ())) for name in SCORES):
            raise ValueError(f"must hold {', '.join(SCORES)}, each with its mean and the four classes")
        return scores


def read(path: Path) -> Tuning:
    """The tuned values.

    Raises:
        InputError: if they are missing or not what tuning writes.
    """
    remake = "bash bin/tune.sh"
    try:
        raw: Any = read_json(path, remake)
        return Tuning.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}: delete it and run `{remake}`") from None


def mask(probability: np.ndarray, cut: Cut, presence: int) -> np.ndarray:
    """Mask of one class.

    Args:
        probability: ``uint8 [H, W]``.
        presence: the head's, 0 to 255.

    Returns:
        bool ``[H, W]``.
    """
    presence = int(presence)  # a uint8 would overflow below
    probability = cut.presence.applied(probability, presence)
    worth, least = cut.presence.worth(presence), cut.smallest * FULL
    if cut.rule == "promise":
        level, promised = promise.best_of_map(probability, cut.threshold)
        return probability >= level if promised * worth >= least else np.zeros(probability.shape, dtype=bool)
    above = probability >= cut.threshold
    if cut.rule != "component":
        counted = above if cut.gate is None else probability >= cut.gate
        return above if np.count_nonzero(counted) * worth >= least else np.zeros_like(above)
    if least <= worth or not above.any():
        return above
    labels, areas = components(above)
    keep = areas.astype(np.int64) * worth >= least
    keep[0] = False
    return keep[labels]


def masks_of(probability: np.ndarray, presence: np.ndarray, cuts: tuple[Cut, ...]) -> np.ndarray:
    """Masks of a strip, bool ``[4, H, W]``, from the graph's two outputs, ``uint8 [4, H, W]`` and ``uint8 [4]``."""
    return np.stack([mask(one, cut, sure) for one, cut, sure in zip(probability, cuts, presence, strict=True)])


def components(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of a mask: ``int32 [H, W]`` labels (0 is background) and ``int32 [n + 1]`` areas."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        above.astype(np.uint8), connectivity=CONNECTIVITY, ltype=cv2.CV_32S
    )
    return labels, stats[:, cv2.CC_STAT_AREA]
