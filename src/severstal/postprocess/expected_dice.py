"""The cut of a map that promises most Dice: every strip gets a threshold of its own.

Taken at its word, a map expects of the mask of all pixels from level ``t`` up a Dice of ``2 S(t) / (N(t) + S(1))``,
with ``N`` their number and ``S`` the sum of their probabilities. The mask that promises most is such a cut, at half of
what it promises (Lipton, Elkan & Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML
2014; for segmentation Dai & Li, "RankSEG: a consistent ranking-based framework for segmentation", JMLR 24, 2023). A
strip of which a network is sure is cut high, one of which it is not is cut low, and a mask that promises too little
is dropped.

Networks that learned little overrate themselves, so levels are read anew: the one that is worth one half is tuned.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from severstal.postprocess.classifier import FULL

LEVELS = 256
CALIBRATION_LEVELS = np.arange(64, 249, 8)  # levels that tuning reads as one half
MIN_EXPECTED_DICE = np.arange(0, 256, 4)  # Dice that a mask must promise, in 255ths


@lru_cache(maxsize=LEVELS)
def calibrated(calibration_level: int) -> np.ndarray:
    """Every level's probability, ``float64 [256]``: a power of its share of 255, so that ``half`` is worth one half."""
    share = min(calibration_level, FULL - 0.5) / FULL  # the highest level would take an infinite power
    made = (np.arange(LEVELS) / FULL) ** (np.log(0.5) / np.log(share))
    made.setflags(write=False)
    return made


CALIBRATED = np.stack([calibrated(int(calibration_level)) for calibration_level in CALIBRATION_LEVELS])


def best(pixels: np.ndarray, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each way to read the levels: the level to cut at, the lowest of equals, and the Dice that this promises.

    Args:
        pixels: ``int64 [256]``, how many reach each level from 1 up; what stands at 0 is not looked at.
        read: every level's probability, ``float64 [n, 256]``.

    Returns:
        ``int64 [n]``, 1 to 255, and ``int64 [n]``, in 255ths, rounded down; 255 and 0 for a map of zeros.
    """
    if not pixels[1]:
        return np.full(len(read), FULL), np.zeros(len(read), dtype=np.int64)
    at_level = pixels[1:] - np.append(pixels[2:], 0)
    sums = np.cumsum((at_level * read[:, 1:])[:, ::-1], axis=1)[:, ::-1]
    expected = 2 * sums / (pixels[1:] + sums[:, :1])
    levels = expected.argmax(axis=1)
    return levels + 1, (expected[np.arange(len(read)), levels] * FULL).astype(np.int64)


def best_of_map(probability: np.ndarray, calibration_level: int) -> tuple[int, int]:
    """The level to cut a map at, ``uint8 [H, W]``, and the Dice that this promises, in 255ths."""
    at_level = np.bincount(probability.ravel(), minlength=LEVELS)
    levels, expected = best(np.cumsum(at_level[::-1])[::-1], calibrated(calibration_level)[None])
    return int(levels[0]), int(expected[0])


def add(cumulated: np.ndarray, pixels: int, area_weight: int, grid: np.ndarray) -> None:
    """Add a map's Dice at every cell to ``float64 [24, 64]``: level that is worth one half, least promise.

    Args:
        cumulated: pixels and right pixels from each level up, ``int64 [256, 2]``.
        pixels: of the truth.
        worth: by how many 255ths a promise counts.
    """
    levels, expected = best(cumulated[:, 0], CALIBRATED)
    area, overlap = cumulated[levels].T
    # Truth and mask are both empty where the sum is 0.
    full = np.divide(2 * overlap, area + pixels, out=np.ones(len(levels)), where=area + pixels > 0)
    kept = expected[:, None] * area_weight >= MIN_EXPECTED_DICE * FULL
    grid += np.where(kept, full[:, None], float(not pixels))
