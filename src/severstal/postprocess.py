"""How a map of 8-bit probabilities becomes a mask: cut at a threshold, then drop small components.

Tuning, prediction and reports all use this one function. ``min_area`` is of a connected component
(8 neighbours), not of the whole mask of a class: winners used either, and the two are easily confused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from severstal.artifacts import read_json
from severstal.errors import InputError

CONNECTIVITY = 8
SCORES = ("all_empty", "default", "tuned", "honest")


class Cut(BaseModel):
    """Values of one class: a pixel counts from ``threshold`` (of 255) up, a component from ``min_area`` pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: int = Field(ge=1, le=255)
    min_area: int = Field(ge=0)


DEFAULT = Cut(threshold=128, min_area=0)


class Tuning(BaseModel):
    """What ``folds/postprocess.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: str = Field(description="of the out-of-fold maps and labels that the values were tuned on")
    members: dict[str, str] = Field(description="hash of each member's weights")
    cuts: tuple[Cut, Cut, Cut, Cut]
    scores: dict[str, dict[str, float]] = Field(description="all-empty, default, tuned, honest: mean and per class")
    strips: int

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


def mask(probability: np.ndarray, cut: Cut) -> np.ndarray:
    """Mask of one class.

    Args:
        probability: ``uint8 [H, W]``.

    Returns:
        bool ``[H, W]``.
    """
    above = probability >= cut.threshold
    if cut.min_area <= 1 or not above.any():
        return above
    labels, areas = components(above)
    keep = areas >= cut.min_area
    keep[0] = False
    return keep[labels]


def components(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of a mask: ``int32 [H, W]`` labels (0 is background) and ``int32 [n + 1]`` areas."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        above.astype(np.uint8), connectivity=CONNECTIVITY, ltype=cv2.CV_32S
    )
    return labels, stats[:, cv2.CC_STAT_AREA]
