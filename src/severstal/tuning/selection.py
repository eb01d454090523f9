"""Which cell of a grid to take, and what that choice is worth on strips that it was not made on.

Scores come as sums over blocks of strips (a block lies within one fold), so every choice "without this fold" is a
sum over the other blocks, and the spread between blocks tells how much of a difference is noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from severstal.postprocess.classifier import UNUSED, ClassifierUse
from severstal.postprocess.rules import RULES, Cell, MaskArea, Rule, RuleType

Pick = Callable[[np.ndarray, np.ndarray, tuple[int, ...]], Cell]  # a cell from sums, counts and steps: peak or middle


@dataclass(frozen=True)
class BlockSums:
    """Sums of Dice over blocks of strips, of one class.

    Attributes:
        sums: for each rule, ``float64 [blocks, *cells]``.
        counts: strips in each block, ``[blocks]``.
        folds: the fold of each block, ``[blocks]``.
    """

    sums: dict[RuleType, np.ndarray]
    counts: np.ndarray
    folds: np.ndarray

    def subset(self, selected: np.ndarray) -> BlockSums:
        """Only some blocks: ``bool [blocks]``."""
        sums = {rule: of_rule[selected] for rule, of_rule in self.sums.items()}
        return BlockSums(sums, self.counts[selected], self.folds[selected])

    def parts(self) -> np.ndarray:
        """What is held out in turn: folds, or, where there is only one, quarters of its blocks; ``[blocks]``."""
        return self.folds if len(np.unique(self.folds)) > 1 else np.arange(len(self.folds)) % 4

    def mean_at(self, rule: Rule) -> float:
        """Mean Dice over all strips with these values."""
        return float(_at(self.sums[type(rule)], rule.cell()).sum() / self.counts.sum())


# -- a cell of one grid ----------------------------------------------------------------------------


def peak(sums: np.ndarray, counts: np.ndarray, steps: tuple[int, ...]) -> Cell:
    """The best cell, the first among equals."""
    return _cell(int(sums.sum(axis=0).argmax()), sums.shape[1:])


def middle(sums: np.ndarray, counts: np.ndarray, steps: tuple[int, ...]) -> Cell:
    """The cell deepest inside the plateau around the best one (see :func:`plateau`).

    The peak of a grid owes part of its score to luck; a cell whose neighbours far around score as well, as far as
    these strips show, owes least. Among equally deep cells the best is taken.

    Args:
        sums: ``float64 [blocks, *cells]``.
        counts: strips in each block, ``[blocks]``.
        steps: distance between neighbours along each axis.
    """
    inside = np.pad(plateau(sums, counts), 1)
    depth = ndimage.distance_transform_edt(inside, sampling=steps)[(slice(1, -1),) * len(steps)]
    deepest = depth >= depth.max() - 1e-9
    return _cell(int(np.where(deepest, sums.sum(axis=0), -np.inf).argmax()), depth.shape)


def plateau(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The cells, connected to the best one, that score within one standard error of it: ``bool [*cells]``.

    The error is that of the best cell's mean over strips: what it would vary by on other strips of the same mill
    (the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984).

    Args:
        sums: ``float64 [blocks, *cells]``.
        counts: strips in each block, ``[blocks]``.
    """
    best = peak(sums, counts, ())
    total = sums.sum(axis=0)
    error = standard_error(_at(sums, best), counts)
    strips = max(counts.sum(), 1)  # none where a data set is so small that nothing is left beside the held-out fold
    within = (total[best] - total) / strips <= error + 1e-12
    labels, _ = ndimage.label(within, structure=np.ones((3,) * within.ndim))
    return labels == labels[best]


def standard_error(sums: np.ndarray, counts: np.ndarray) -> float:
    """Standard error of a mean over strips, from its sums over blocks (Cochran, Sampling Techniques, 1977, eq. 6.13).

    Args:
        sums: ``float64 [blocks]``.
        counts: strips in each block, ``[blocks]``.
    """
    if len(counts) < 2:
        return 0.0
    spread = np.square(sums - counts * (sums.sum() / counts.sum())).sum()
    return float(np.sqrt(spread * len(counts) / (len(counts) - 1)) / counts.sum())


def _at(sums: np.ndarray, cell: Cell) -> np.ndarray:
    """Each block's sum at a cell, ``[blocks]``."""
    index: tuple[slice | int, ...] = (slice(None), *cell)
    return sums[index]


def _cell(index: int, shape: tuple[int, ...]) -> Cell:
    return tuple(int(i) for i in np.unravel_index(index, shape))


# -- a rule ----------------------------------------------------------------------------------------


def choose_rule(blocks: BlockSums, classifier: ClassifierUse = UNUSED) -> Rule:
    """Rule and values from all blocks, of which the grids were computed with this use of the classifier.

    A more complicated rule is taken only where, chosen and scored on different strips, it beats the best of the
    simpler ones by more than the standard error of the difference.
    """
    best = RULES[0]
    best_score = cross_validated(blocks, best, middle)
    for rule in RULES[1:]:
        score = cross_validated(blocks, rule, middle)
        if _is_better(score, best_score, blocks.counts):
            best, best_score = rule, score
    return best.at(middle(blocks.sums[best], blocks.counts, best.steps()), classifier)


def cross_validated(blocks: BlockSums, rule: RuleType, pick: Pick) -> np.ndarray:
    """Each block's sum of Dice with the cell that is picked on the other parts, ``float64 [blocks]``."""
    sums, parts = blocks.sums[rule], blocks.parts()
    scores = np.empty(len(parts))
    for part in np.unique(parts):
        own = parts == part
        scores[own] = _at(sums[own], pick(sums[~own], blocks.counts[~own], rule.steps()))
    return scores


def _is_better(scores: np.ndarray, others: np.ndarray, counts: np.ndarray) -> bool:
    """Whether the mean over strips is higher by more than the standard error of the difference."""
    gain = scores - others
    return bool(gain.sum() / counts.sum() > standard_error(gain, counts))


# -- alternatives that are compared by the mask-area rule --------------------------------------------


def choose_alternative(sums: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> int:
    """Which ensemble weights, or which use of the classifier: the first unless another is better by more than noise.

    Args:
        sums: grids of the mask-area rule, ``float [alternatives, blocks, classes, *cells]``.
        counts: strips in each block, ``[blocks]``.
        folds: the fold of each block, ``[blocks]``.
    """
    scores = cross_validated_alternatives(sums, counts, folds).mean(axis=2)
    best = int(np.argmax(scores.sum(axis=1)))
    return best if _is_better(scores[best], scores[0], counts) else 0


def cross_validated_alternatives(sums: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Sums of Dice of each alternative by the mask-area rule, values picked on the other parts.

    Args:
        sums: ``float [alternatives, blocks, classes, *cells]``.

    Returns:
        ``float64 [alternatives, blocks, classes]``.
    """

    def of_class(grids: np.ndarray) -> np.ndarray:
        return cross_validated(BlockSums({MaskArea: grids}, counts, folds), MaskArea, peak)

    return np.stack([np.stack([of_class(grids[:, c]) for c in range(grids.shape[1])], axis=1) for grids in sums])
