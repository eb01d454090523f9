"""Whether an ensemble predicts a strip consistently enough for its masks to serve as labels.

A strip is accepted if each of its four classes is clearly present or clearly absent: classifier and mask agree, the
mask hardly depends on its threshold, and the single networks agree with their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from severstal.postprocess.components import connected_components
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import Rule


class Outcome(StrEnum):
    """What was found out about one class of a strip; every outcome but the first two rejects the strip."""

    PRESENT = "present"
    ABSENT = "absent"
    CLASSIFIER_UNCERTAIN = "classifier uncertain"  # the class probability lies between the two limits
    CLASSIFIER_CONTRADICTS_MASK = "classifier contradicts mask"  # one of them says present, the other absent
    MASK_UNSTABLE = "mask unstable"  # it changes much when the thresholds are moved
    MEMBERS_DISAGREE = "members disagree"  # a network's mask differs much from that of the mean
    CLASSES_OVERLAP = "classes overlap"  # true masks never share a pixel
    OUTSIDE_STEEL = "outside the steel"  # a defect lies in the black bar beside the steel

    @property
    def accepts(self) -> bool:
        return self in (Outcome.PRESENT, Outcome.ABSENT)


@dataclass(frozen=True)
class Limits:
    """When a strip is accepted.

    Attributes:
        min_present: class probability, of 255, from which the classifier says that a class is present.
        max_absent: class probability, of 255, up to which it says that the class is absent.
        threshold_margin: logits by which thresholds are moved down and up; 1 moves 0.5 to 0.27 and 0.73.
        min_agreement: least Dice between two masks that agree.
    """

    min_present: int
    max_absent: int
    threshold_margin: float
    min_agreement: float


@dataclass(frozen=True)
class Assessment:
    """An outcome per class, and the post-processed masks of the mean, ``bool [4, H, W]``."""

    outcomes: list[Outcome]
    masks: np.ndarray

    @property
    def is_accepted(self) -> bool:
        return all(outcome.accepts for outcome in self.outcomes)


def assess(
    maps: Sequence[np.ndarray],
    class_probabilities: Sequence[np.ndarray],
    weights: Sequence[int],
    rules: Sequence[Rule],
    limits: Limits,
    steel: tuple[int, int],
) -> Assessment:
    """Assess one strip.

    Args:
        maps: each network's probability maps, ``uint8 [4, H, W]``.
        class_probabilities: each network's class probabilities, ``uint8 [4]``.
        weights: of the networks in their mean.
        rules: post-processing of each class.
        steel: first and past-the-last column of the steel.
    """
    mean, mean_class_probability = mean_map(maps, weights), mean_map(class_probabilities, weights)
    counted = [pair for *pair, weight in zip(maps, class_probabilities, weights, strict=True) if weight]
    outcomes, masks = [], []
    for index, rule in enumerate(rules):
        mask = rule.apply(mean[index], mean_class_probability[index])
        of_members = [rule.apply(map_[index], probability[index]) for map_, probability in counted]
        outcomes.append(_outcome(mean[index], int(mean_class_probability[index]), mask, of_members, rule, limits))
        masks.append(mask)
    stacked = np.stack(masks)
    return Assessment(_with_places(outcomes, stacked, steel), stacked)


def _outcome(
    mean: np.ndarray,
    class_probability: int,
    mask: np.ndarray,
    masks_of_members: list[np.ndarray],
    rule: Rule,
    limits: Limits,
) -> Outcome:
    """The outcome of one class: the first reason to reject it, or whether it is present."""
    if limits.max_absent < class_probability < limits.min_present:
        return Outcome.CLASSIFIER_UNCERTAIN
    if bool(mask.any()) != (class_probability >= limits.min_present):
        return Outcome.CLASSIFIER_CONTRADICTS_MASK
    margin = limits.threshold_margin
    larger, smaller = (rule.shifted(logits).apply(mean, class_probability) for logits in (-margin, margin))
    if dice(larger, smaller) < limits.min_agreement:
        return Outcome.MASK_UNSTABLE
    if any(dice(of_member, mask) < limits.min_agreement for of_member in masks_of_members):
        return Outcome.MEMBERS_DISAGREE
    return Outcome.PRESENT if mask.any() else Outcome.ABSENT


def _with_places(outcomes: list[Outcome], masks: np.ndarray, steel: tuple[int, int]) -> list[Outcome]:
    """The outcomes, where accepted masks that overlap or lie outside the steel are rejected."""
    overlap = masks.sum(axis=0) > 1
    checked = []
    for outcome, mask in zip(outcomes, masks, strict=True):
        if outcome is Outcome.PRESENT and (mask & overlap).any():
            outcome = Outcome.CLASSES_OVERLAP
        elif outcome is Outcome.PRESENT and _has_defect_outside(mask, *steel):
            outcome = Outcome.OUTSIDE_STEEL
        checked.append(outcome)
    return checked


def _has_defect_outside(mask: np.ndarray, first: int, last: int) -> bool:
    """Whether a connected component has no pixel on the steel; defects on its edge may reach beyond it."""
    labels, areas = connected_components(mask)
    on_steel = np.unique(labels[:, first:last])
    return bool(np.count_nonzero(on_steel) < len(areas) - 1)
