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

from severstal.presence import FULL

LEVELS = 256


@lru_cache(maxsize=LEVELS)
def worths(half: int) -> np.ndarray:
    """Every level's probability, ``float64 [256]``: a power of its share of 255, so that ``half`` is worth one half."""
    share = min(half, FULL - 0.5) / FULL  # the highest level would take an infinite power
    made = (np.arange(LEVELS) / FULL) ** (np.log(0.5) / np.log(share))
    made.setflags(write=False)
    return made


def best(pixels: np.ndarray, halves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each way to read the levels: the level to cut at, the lowest of equals, and the Dice that this promises.

    Args:
        pixels: ``int64 [256]``, how many reach each level from 1 up; what stands at 0 is not looked at.
        halves: levels that are worth one half, ``[n]``.

    Returns:
        ``int64 [n]``, 1 to 255, and ``int64 [n]``, in 255ths, rounded down; 255 and 0 for a map of zeros.
    """
    if not pixels[1]:
        return np.full(len(halves), FULL), np.zeros(len(halves), dtype=np.int64)
    at_level = pixels[1:] - np.append(pixels[2:], 0)
    sums = np.cumsum((at_level * np.stack([worths(int(half)) for half in halves])[:, 1:])[:, ::-1], axis=1)[:, ::-1]
    promised = 2 * sums / (pixels[1:] + sums[:, :1])
    levels = promised.argmax(axis=1)
    return levels + 1, (promised[np.arange(len(halves)), levels] * FULL).astype(np.int64)


def best_of_map(probability: np.ndarray, half: int) -> tuple[int, int]:
    """The level to cut a map at, ``uint8 [H, W]``, and the Dice that this promises, in 255ths."""
    at_level = np.bincount(probability.ravel(), minlength=LEVELS)
    levels, promised = best(np.cumsum(at_level[::-1])[::-1], np.array([half]))
    return int(levels[0]), int(promised[0])
