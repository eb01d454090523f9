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
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from severstal.artifacts import read_model
from severstal.postprocess import expected_dice
from severstal.postprocess.classifier import FULL, UNUSED, ClassifierUse

CONNECTIVITY = 8
SCORES = ("all_empty", "default", "tuned", "nested")


class Rule(BaseModel):
    """Values of one class: a pixel counts from ``threshold`` (of 255) up, and then, by ``rule``,

    * ``component_area``: a connected component (8 neighbours) is kept from ``min_area`` pixels up;
    * ``mask_area``: the mask is kept if it has at least ``min_area`` pixels;
    * ``dual_threshold``: the mask is kept if at least ``min_area`` pixels reach ``high_threshold``;
    * ``expected_dice``: each strip is cut where it promises most Dice if ``threshold`` is read as one half; the mask is
      kept if it promises at least ``min_expected_dice`` 255ths (see :mod:`severstal.postprocess.expected_dice`).

    ``classifier`` says what the classification head has to do with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["component_area", "mask_area", "dual_threshold", "expected_dice"] = "component_area"
    threshold: int = Field(ge=1, le=255)
    min_area: int = Field(ge=0)
    high_threshold: int | None = Field(None, ge=1, le=255)
    min_expected_dice: int | None = Field(None, ge=0, le=255)
    classifier: ClassifierUse = UNUSED

    @model_validator(mode="after")
    def _high_threshold_is_of_dual_threshold(self) -> Rule:
        if (self.high_threshold is not None) != (self.name == "dual_threshold"):
            raise ValueError("high_threshold: the dual_threshold rule takes one, the others none")
        return self

    @model_validator(mode="after")
    def _min_expected_dice_is_of_expected_dice(self) -> Rule:
        if (self.min_expected_dice is not None) != (self.name == "expected_dice") or (
            self.min_expected_dice is not None and self.min_area
        ):
            raise ValueError(
                "min_expected_dice: the expected_dice rule takes it, and 0 for min_area, the others do not"
            )
        return self

    @property
    def smallest(self) -> int:
        """What a mask or component must have to be kept: pixels, or 255ths of promised Dice."""
        return self.min_area if self.min_expected_dice is None else self.min_expected_dice

    def __str__(self) -> str:
        pixels = f"pixels from {self.threshold}/255"
        if self.name == "expected_dice":
            pixels = f"where most Dice is promised with {self.threshold}/255 as one half"
        kept = {
            "component_area": f"components from {self.min_area} px",
            "mask_area": f"whole masks from {self.min_area} px",
            "dual_threshold": f"where at least {self.min_area} px reach {self.high_threshold}/255",
            "expected_dice": f"if that is at least {self.min_expected_dice}/255",
        }[self.name]
        return f"{pixels}, {kept}{self.classifier}"


DEFAULT = Rule(threshold=128, min_area=0)


class Choice(BaseModel):
    """How maps are averaged and cut: one complete choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ensemble_weights: dict[str, Annotated[int, Field(ge=0)]]
    rules: tuple[Rule, Rule, Rule, Rule]


class Tuning(BaseModel):
    """What ``folds/postprocess.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cached_from: dict[str, Any] = Field({}, description="the maps and labels that the values were tuned on")
    members: dict[str, str] = Field(description="hash of each member's weights")
    ensemble_weights: dict[str, Annotated[int, Field(ge=0)]] = Field(
        description="weight of each encoder's maps in their mean"
    )
    rules: tuple[Rule, Rule, Rule, Rule]
    scores: dict[str, dict[str, float]] = Field(description="all-empty, default, tuned, nested: mean and per class")
    intervals: dict[str, dict[str, tuple[float, float]]] = Field(
        description="95 % of bootstrap resamples of the strips: of each score, and of gain: nested less default"
    )
    strips: int
    held_out: tuple[Choice, ...] = Field(
        (), description="for each fold, what was chosen without its strips: the values of the nested score"
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
    return read_model(path, Tuning, "bash bin/tune.sh")


def mask(probability: np.ndarray, rule: Rule, class_probability: int) -> np.ndarray:
    """Mask of one class.

    Args:
        probability: ``uint8 [H, W]``.
        presence: the head's, 0 to 255.

    Returns:
        bool ``[H, W]``.
    """
    class_probability = int(class_probability)  # a uint8 would overflow below
    probability = rule.classifier.applied(probability, class_probability)
    area_weight, least = rule.classifier.area_weight(class_probability), rule.smallest * FULL
    if rule.name == "expected_dice":
        level, expected = expected_dice.best_of_map(probability, rule.threshold)
        return probability >= level if expected * area_weight >= least else np.zeros(probability.shape, dtype=bool)
    above = probability >= rule.threshold
    if rule.name != "component_area":
        counted = above if rule.high_threshold is None else probability >= rule.high_threshold
        return above if np.count_nonzero(counted) * area_weight >= least else np.zeros_like(above)
    if least <= area_weight or not above.any():
        return above
    labels, areas = components(above)
    keep = areas.astype(np.int64) * area_weight >= least
    keep[0] = False
    return keep[labels]


def masks_of(probability: np.ndarray, class_probability: np.ndarray, rules: tuple[Rule, ...]) -> np.ndarray:
    """Masks of a strip, bool ``[4, H, W]``, from the graph's two outputs, ``uint8 [4, H, W]`` and ``uint8 [4]``."""
    return np.stack(
        [mask(one, rule, sure) for one, rule, sure in zip(probability, rules, class_probability, strict=True)]
    )


def components(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of a mask: ``int32 [H, W]`` labels (0 is background) and ``int32 [n + 1]`` areas."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        above.astype(np.uint8), connectivity=CONNECTIVITY, ltype=cv2.CV_32S
    )
    return labels, stats[:, cv2.CC_STAT_AREA]
