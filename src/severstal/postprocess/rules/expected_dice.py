"""Rule: every map is thresholded where its own probabilities expect the highest Dice.

If probabilities are right, the mask of all pixels from level ``t`` up has an expected Dice of about
``2 S(t) / (N(t) + S(1))``, with ``N`` the number of its pixels and ``S`` the sum of their probabilities. The mask with
the highest expected Dice is of this form, and its threshold is half of that Dice (Lipton, Elkan & Naryanaswamy,
"Optimal thresholding of classifiers to maximize F1 measure", ECML 2014; for segmentation Dai & Li, "RankSEG: a
consistent ranking-based framework for segmentation", JMLR 24, 2023). A confident map gets a high threshold, a doubtful
one a low threshold, and a mask whose expected Dice is too low is dropped.

Networks are often over-confident, so probabilities are calibrated first: tuning chooses the level worth one half.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from severstal.postprocess.classifier import FULL
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules.axes import Axis
from severstal.postprocess.rules.base import Rule

LEVELS = 256
CALIBRATION_LEVELS = np.arange(64, 249, 8)
MIN_EXPECTED_DICE = np.arange(0, 256, 4)


class ExpectedDice(Rule):
    """The threshold of highest expected Dice; the mask is kept if that Dice is at least ``min_expected_dice``.

    Attributes:
        calibration_level: level that is worth a probability of one half, of 255.
        min_expected_dice: in 255ths.
    """

    axes: ClassVar[tuple[Axis, ...]] = (
        Axis("calibration_level", CALIBRATION_LEVELS, 8, "level that is worth one half (of 255)"),
        Axis("min_expected_dice", MIN_EXPECTED_DICE, 4, "minimum expected Dice (of 255)", tuple(range(0, 241, 40))),
    )
    levels: ClassVar[tuple[str, ...]] = ("calibration_level",)

    rule: Literal["expected_dice"] = "expected_dice"
    calibration_level: int = Field(ge=1, le=FULL)
    min_expected_dice: int = Field(ge=0, le=FULL)

    def mask(self, probability: np.ndarray, area_weight: int) -> np.ndarray:
        threshold, expected = best_threshold(probability, self.calibration_level)
        if expected * area_weight < self.min_expected_dice * FULL:
            return np.zeros(probability.shape, dtype=bool)
        return probability >= threshold

    @classmethod
    def add_to_grid(cls, statistics: MapStatistics, grid: np.ndarray) -> None:
        thresholds, expected = best_thresholds(statistics.counts[:, 0], CALIBRATED)
        kept = expected[:, None] * statistics.area_weight >= MIN_EXPECTED_DICE * FULL
        grid += np.where(kept, statistics.dice(thresholds)[:, None], statistics.empty_dice)

    def __str__(self) -> str:
        return (
            f"pixels of highest expected Dice with {self.calibration_level}/255 as one half, "
            f"if it is at least {self.min_expected_dice}/255{self.classifier}"
        )


@lru_cache(maxsize=LEVELS)
def calibrated(calibration_level: int) -> np.ndarray:
    """Probability of every level, ``float64 [256]``: a power of its share of 255, one half at ``calibration_level``."""
    share = min(calibration_level, FULL - 0.5) / FULL  # the highest level would take an infinite power
    probabilities = (np.arange(LEVELS) / FULL) ** (np.log(0.5) / np.log(share))
    probabilities.setflags(write=False)
    return probabilities


CALIBRATED = np.stack([calibrated(int(level)) for level in CALIBRATION_LEVELS])


def best_thresholds(areas: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each calibration, the threshold of highest expected Dice (the lowest among equals), and that Dice.

    Args:
        areas: number of pixels from each level up, ``int64 [256]``; the first is not used.
        probabilities: of every level by each calibration, ``float64 [n, 256]``.

    Returns:
        ``int64 [n]``, 1 to 255, and ``int64 [n]``, in 255ths, rounded down; 255 and 0 for a map of zeros.
    """
    if not areas[1]:
        return np.full(len(probabilities), FULL), np.zeros(len(probabilities), dtype=np.int64)
    at_level = areas[1:] - np.append(areas[2:], 0)
    sums = np.cumsum((at_level * probabilities[:, 1:])[:, ::-1], axis=1)[:, ::-1]
    expected = 2 * sums / (areas[1:] + sums[:, :1])
    best = expected.argmax(axis=1)
    return best + 1, (expected[np.arange(len(best)), best] * FULL).astype(np.int64)


def best_threshold(probability: np.ndarray, calibration_level: int) -> tuple[int, int]:
    """The threshold of highest expected Dice of a map, ``uint8 [H, W]``, and that Dice, in 255ths."""
    at_level = np.bincount(probability.ravel(), minlength=LEVELS)
    thresholds, expected = best_thresholds(np.cumsum(at_level[::-1])[::-1], calibrated(calibration_level)[None])
    return int(thresholds[0]), int(expected[0])
