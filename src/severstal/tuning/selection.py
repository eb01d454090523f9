"""Which cell of a grid to take, and what that choice is worth on strips that it was not made on.

Scores come as sums over blocks of strips (a block lies within one fold), so every choice "without this fold" is
a subtraction, and the spread between blocks tells how much of a difference is noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from severstal.postprocess.classifier import UNUSED, ClassifierUse
from severstal.postprocess.expected_dice import CALIBRATION_LEVELS, MIN_EXPECTED_DICE
from severstal.postprocess.tuned_values import Rule
from severstal.tuning.component_tree import AREAS, HIGH_THRESHOLDS, THRESHOLDS

Cell = tuple[int, ...]

FAMILIES = ("component_area", "mask_area", "dual_threshold", "expected_dice")  # the simplest first

# Lengths of a grid's steps, for the middle of a plateau: 255 thresholds are as long as 64 areas.
_AREA_STEP, _HIGH_THRESHOLD_STEP, _CALIBRATION_STEP, _EXPECTED_DICE_STEP = 4, 8, 8, 4
STEPS = {
    "component_area": (1, _AREA_STEP),
    "mask_area": (1, _AREA_STEP),
    "dual_threshold": (_HIGH_THRESHOLD_STEP, _AREA_STEP, _HIGH_THRESHOLD_STEP),
    "expected_dice": (_CALIBRATION_STEP, _EXPECTED_DICE_STEP),
}


@dataclass(frozen=True)
class Blocks:
    """Sums of Dice over blocks of strips, of one class.

    Attributes:
        sums: for each family of rules, ``float64 [blocks, *cells]``.
        counts: strips in each block, ``[blocks]``.
        folds: the fold of each block, ``[blocks]``.
    """

    sums: dict[str, np.ndarray]
    counts: np.ndarray
    folds: np.ndarray

    def where(self, chosen: np.ndarray) -> Blocks:
        """Only some blocks: ``bool [blocks]``."""
        sums = {family: sums[chosen] for family, sums in self.sums.items()}
        return Blocks(sums, self.counts[chosen], self.folds[chosen])


def rule_at(family: str, cell: Cell) -> Rule:
    """The values at a cell of a family's grid."""
    if family == "dual_threshold":
        high, area, low = cell
        return Rule(
            name="dual_threshold",
            threshold=int(HIGH_THRESHOLDS[low]),
            min_area=int(AREAS[area]),
            high_threshold=int(HIGH_THRESHOLDS[high]),
        )
    if family == "expected_dice":
        calibration_level, least = cell
        return Rule(
            name="expected_dice",
            threshold=int(CALIBRATION_LEVELS[calibration_level]),
            min_area=0,
            min_expected_dice=int(MIN_EXPECTED_DICE[least]),
        )
    return Rule(name=family, threshold=int(THRESHOLDS[cell[0]]), min_area=int(AREAS[cell[1]]))


def cell_of(rule: Rule) -> Cell:
    """Where a cut made by :func:`cut_of` stands in its family's grid."""
    if rule.name == "expected_dice":
        return int(np.searchsorted(CALIBRATION_LEVELS, rule.threshold)), int(
            np.searchsorted(MIN_EXPECTED_DICE, rule.min_expected_dice)
        )
    area = int(np.searchsorted(AREAS, rule.min_area))
    if rule.name == "dual_threshold":
        return (
            int(np.searchsorted(HIGH_THRESHOLDS, rule.high_threshold)),
            area,
            int(np.searchsorted(HIGH_THRESHOLDS, rule.threshold)),
        )
    return rule.threshold - 1, area


def peak(sums: np.ndarray, counts: np.ndarray, steps: tuple[int, ...]) -> Cell:
    """The best cell, the first among equals."""
    return _cell(int(sums.sum(axis=0).argmax()), sums.shape[1:])


def middle(sums: np.ndarray, counts: np.ndarray, steps: tuple[int, ...]) -> Cell:
    """The cell deepest inside the plateau around the best one (see :func:`plateau`).

    The peak of a grid is where luck adds to merit; a cell whose neighbours far around score as well, as far as
    these strips can tell, owes least to luck. Among equally deep cells the best is taken.
    """
    inside = np.pad(plateau(sums, counts), 1)
    depth = ndimage.distance_transform_edt(inside, sampling=steps)[(slice(1, -1),) * len(steps)]
    deepest = depth >= depth.max() - 1e-9
    return _cell(int(np.where(deepest, sums.sum(axis=0), -np.inf).argmax()), depth.shape)


def plateau(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The cells, connected to the best one, that score within one standard error of it: ``bool [*cells]``.

    The error is that of the best cell's mean over strips: what it would move on other strips of the same mill
    (the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984).

    Args:
        sums: ``float64 [blocks, *cells]``.
        counts: ``[blocks]``.
    """
    best = peak(sums, counts, ())
    total = sums.sum(axis=0)
    error = _standard_error(sums[(slice(None), *best)], counts)
    within = (total[best] - total) / counts.sum() <= error + 1e-12
    labels, _ = ndimage.label(within, structure=np.ones((3,) * within.ndim))
    return labels == labels[best]


def _standard_error(sums: np.ndarray, counts: np.ndarray) -> float:
    """Standard error of a mean over strips, from its sums over blocks (Cochran, Sampling Techniques, 1977, eq. 6.13).

    Args:
        sums: ``float64 [blocks]``.
        counts: strips in each block, ``[blocks]``.
    """
    if len(counts) < 2:
        return 0.0
    spread = np.square(sums - counts * (sums.sum() / counts.sum())).sum()
    return float(np.sqrt(spread * len(counts) / (len(counts) - 1)) / counts.sum())


def choose(blocks: Blocks, pick: Callable[..., Cell] = middle, class_probability: ClassifierUse = UNUSED) -> Rule:
    """Rule and values from all blocks, which were swept with this use of the head.

    A more complicated family of rules is taken only where, chosen and scored on different strips, it beats the
    best of the simpler ones by more than the standard error of the difference.
    """
    parts = _parts(blocks)
    family, held = FAMILIES[0], held_out(blocks, parts, FAMILIES[0], pick)
    for other in FAMILIES[1:]:
        tried = held_out(blocks, parts, other, pick)
        if (tried - held).sum() / blocks.counts.sum() > _standard_error(tried - held, blocks.counts):
            family, held = other, tried
    rule = rule_at(family, pick(blocks.sums[family], blocks.counts, STEPS[family]))
    return rule.model_copy(update={"class_probability": class_probability})


def held_out(blocks: Blocks, parts: np.ndarray, family: str, pick: Callable[..., Cell]) -> np.ndarray:
    """Each block's sum of Dice with the cell that the other parts choose, ``float64 [blocks]``."""
    sums, made = blocks.sums[family], np.empty(len(parts))
    for part in np.unique(parts):
        own = parts == part
        made[own] = sums[(own, *pick(sums[~own], blocks.counts[~own], STEPS[family]))]
    return made


def choose_ensemble_weights(sums: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> int:
    """The blend to take: the first (all encoders alike) unless another is better by more than noise.

    Args:
        sums: ``float64 [blends, blocks, 4, *cells]`` of the whole-mask rule.
        counts: ``[blocks]``.
        folds: ``[blocks]``.
    """
    held = [
        np.mean([_held_out_mask_area(of_blend[:, c], counts, folds) for c in range(of_blend.shape[1])], axis=0)
        for of_blend in sums
    ]
    return _surely_best(held, counts)


def choose_classifier_use(sums: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> int:
    """The use of the head for a class: the first (none) unless another is better by more than noise.

    Args:
        sums: ``float64 [uses, blocks, *cells]`` of the whole-mask rule.
        counts: ``[blocks]``.
        folds: ``[blocks]``.
    """
    return _surely_best(held_out_mask_area(sums, counts, folds), counts)


def held_out_mask_area(sums: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Each alternative's sums of Dice over blocks, by the whole-mask rule chosen on the other parts.

    Args:
        sums: ``float64 [alternatives, blocks, *cells]``.

    Returns:
        ``float64 [alternatives, blocks]``.
    """
    return np.stack([_held_out_mask_area(one, counts, folds) for one in sums])


def _held_out_mask_area(sums: np.ndarray, counts: np.ndarray, folds: np.ndarray) -> np.ndarray:
    blocks = Blocks({"mask_area": sums}, counts, folds)
    return held_out(blocks, _parts(blocks), "mask_area", peak)


def _surely_best(held: list[np.ndarray] | np.ndarray, counts: np.ndarray) -> int:
    best = int(np.argmax([one.sum() for one in held]))
    gain = held[best] - held[0]
    return best if gain.sum() / counts.sum() > _standard_error(gain, counts) else 0


def _parts(blocks: Blocks) -> np.ndarray:
    """What is held out in turn: folds, or, where there is one only, quarters of its blocks."""
    if len(np.unique(blocks.folds)) > 1:
        return blocks.folds
    return np.arange(len(blocks.folds)) % 4


def _cell(index: int, shape: tuple[int, ...]) -> Cell:
    return tuple(int(i) for i in np.unravel_index(index, shape))
