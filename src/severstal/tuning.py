"""Threshold and minimum area per class, chosen on out-of-fold maps of the ensemble and checked on held-out folds.

The score of every cell of a grid (threshold x minimum area) is the mean over strips of the competition's
Dice. *Honest* is the mean over strips of the Dice with the values chosen on the other folds: what the tuned
values are worth on strips that they were not tuned on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed

from severstal.labels import CLASSES
from severstal.metric import dice_of_counts
from severstal.postprocess import DEFAULT, Cut, components

THRESHOLDS = np.arange(32, 225, 12)  # of 255: 0.13 to 0.88
MIN_AREAS = np.array([0, 50, 100, 150, 250, 400, 600, 800, 1000, 1400, 2000, 3000, 4500])  # px of a component
DEFAULT_CELL = (
    int(np.searchsorted(THRESHOLDS, DEFAULT.threshold)),
    int(np.searchsorted(MIN_AREAS, DEFAULT.min_area)),
)


@dataclass(frozen=True)
class Score:
    """Mean Dice of each class and their mean."""

    classes: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.classes))

    def as_json(self) -> dict:
        return {"mean": self.mean} | {str(c): score for c, score in zip(CLASSES, self.classes, strict=True)}


@dataclass(frozen=True)
class Tuned:
    """Chosen values, and the four scores that say what they are worth."""

    cuts: tuple[Cut, ...]
    all_empty: Score
    default: Score
    tuned: Score
    honest: Score


def grid(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice of one strip and class at every cell, ``float64 [thresholds, areas]``.

    Args:
        probability: ``uint8 [H, W]``.
        truth: bool ``[H, W]``.
    """
    made = np.empty((len(THRESHOLDS), len(MIN_AREAS)))
    pixels = int(np.count_nonzero(truth))
    for row, threshold in enumerate(THRESHOLDS):
        above = probability >= threshold
        if not above.any():
            made[row:] = dice_of_counts(0, pixels)
            break
        labels, areas = components(above)
        overlaps = np.bincount(labels[truth], minlength=len(areas))
        areas, overlaps = areas[1:], overlaps[1:]
        kept = areas[None, :] >= MIN_AREAS[:, None]
        made[row] = dice_of_counts((kept * overlaps).sum(axis=1), (kept * areas).sum(axis=1) + pixels)
    return made


def sums_of_fold(
    images: list[str],
    probability: Callable[[str], np.ndarray],
    truth: Callable[[str], np.ndarray],
    workers: int,
) -> np.ndarray:
    """Sums over a fold's strips: ``float64 [4, thresholds + 1, areas]``; the last row holds the all-empty score.

    Args:
        probability: gives the ensemble's ``uint8 [4, H, W]`` of an image.
        truth: gives its bool ``[4, H, W]``.
    """

    def of_strip(image: str) -> np.ndarray:
        maps, masks = probability(image), truth(image)
        empty = np.repeat(~masks.any(axis=(1, 2)), len(MIN_AREAS)).reshape(len(CLASSES), 1, -1)
        return np.concatenate([np.stack([grid(*pair) for pair in zip(maps, masks, strict=True)]), empty], axis=1)

    sums = np.zeros((len(CLASSES), len(THRESHOLDS) + 1, len(MIN_AREAS)))
    # OpenCV and zlib let other threads run; order of summation is that of the images, so results repeat.
    for one in Parallel(n_jobs=workers, prefer="threads", return_as="generator")(map(delayed(of_strip), images)):
        sums += one
    return sums


def tune(sums: np.ndarray, counts: list[int]) -> Tuned:
    """Choose values on all folds, and score them honestly.

    Args:
        sums: ``[folds, 4, thresholds + 1, areas]`` of :func:`sums_of_fold`.
        counts: strips in each fold.
    """
    cells, total = sums[:, :, :-1], sum(counts)
    chosen = [best_cell(cells[:, c].sum(axis=0)) for c in range(len(CLASSES))]
    honest = [
        sum(cells[k, c][best_cell(np.delete(cells[:, c], k, axis=0).sum(axis=0))] for k in range(len(counts))) / total
        for c in range(len(CLASSES))
    ]
    at = lambda cell, c: float(cells[:, c].sum(axis=0)[cell] / total)  # noqa: E731
    return Tuned(
        cuts=tuple(Cut(threshold=int(THRESHOLDS[t]), min_area=int(MIN_AREAS[a])) for t, a in chosen),
        all_empty=Score(tuple(float(sums[:, c, -1, 0].sum() / total) for c in range(len(CLASSES)))),
        default=Score(tuple(at(DEFAULT_CELL, c) for c in range(len(CLASSES)))),
        tuned=Score(tuple(at(cell, c) for c, cell in enumerate(chosen))),
        honest=Score(tuple(float(score) for score in honest)),
    )


def best_cell(cells: np.ndarray) -> tuple[int, int]:
    """The best cell of ``[thresholds, areas]``; among equals (as where a class never occurs) the middle one."""
    rows, columns = np.nonzero(cells >= cells.max() - 1e-9)
    middle = len(rows) // 2
    return int(rows[middle]), int(columns[middle])
