"""Whether networks are sure of a strip: gate and mask agree, the mask hardly depends on its threshold, members agree.

Masks are post-processing's own; a strip is taken only if each of its four classes is surely there or surely absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from severstal.postprocess.components import connected_components
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import Rule

THERE, ABSENT = "there", "absent"
GATE_UNSURE = "gate unsure"  # presence between the two limits
GATE_AGAINST_MASK = "gate against mask"  # one says there, the other absent
MASK_UNSURE = "mask unsure"  # the mask changes much with its threshold
MEMBERS_DIFFER = "members differ"  # a network's own mask is another than that of their mean
OVERLAP = "classes overlap"  # the truth never has two classes on a pixel
OFF_STEEL = "off the steel"  # a defect lies in the black bar beside the steel
REASONS = (GATE_UNSURE, GATE_AGAINST_MASK, MASK_UNSURE, MEMBERS_DIFFER, OVERLAP, OFF_STEEL)
VERDICTS = (THERE, ABSENT, *REASONS)


@dataclass(frozen=True)
class Limits:
    """How sure is sure.

    Attributes:
        there: presence, of 255, from which the gate says that a class is there.
        absent: presence up to which it says that it is not.
        margin: by how much thresholds are moved down and up, in logits; 1 takes 0.5 to 0.27 and 0.73.
        agreement: least Dice between two masks that agree.
    """

    there: int
    absent: int
    margin: float
    agreement: float


@dataclass(frozen=True)
class Assessment:
    """A verdict per class, and the masks ``bool [4, H, W]``."""

    verdicts: list[str]
    masks: np.ndarray

    @property
    def is_sure(self) -> bool:
        return not set(self.verdicts) & set(REASONS)


def assess(
    maps: Sequence[np.ndarray],
    class_probabilities: Sequence[np.ndarray],
    weights: Sequence[int],
    rules: Sequence[Rule],
    limits: Limits,
    steel: tuple[int, int],
) -> Assessment:
    """Judge one strip.

    Args:
        maps: each network's ``uint8 [4, H, W]``.
        presences: each network's ``uint8 [4]``.
        weights: of the networks in the mean.
        cuts: of the classes.
        steel: first and past-the-last column of the steel.
    """
    mean, class_probability = mean_map(maps, weights), mean_map(class_probabilities, weights)
    verdicts, masks = [], []
    for c, rule in enumerate(rules):
        drawn = rule.apply(mean[c], class_probability[c])
        networks = zip(maps, class_probabilities, weights, strict=True)
        own = [rule.apply(one[c], sure[c]) for one, sure, weight in networks if weight]
        verdicts.append(_verdict(mean[c], int(class_probability[c]), drawn, own, rule, limits))
        masks.append(drawn)
    drawn = np.stack(masks)
    shared = drawn & (drawn.sum(axis=0) > 1)
    for c in np.flatnonzero(drawn.any(axis=(1, 2))):
        if verdicts[c] not in REASONS:
            doubt = OVERLAP if shared[c].any() else OFF_STEEL if _has_defect_off(drawn[c], *steel) else None
            verdicts[c] = doubt or verdicts[c]
    return Assessment(verdicts, drawn)


def _has_defect_off(drawn: np.ndarray, first: int, last: int) -> bool:
    """Whether a connected part of a mask has no pixel on the steel; loose masks may reach beyond it."""
    labels, areas = connected_components(drawn)
    on_steel = np.unique(labels[:, first:last])
    return np.count_nonzero(on_steel) < len(areas) - 1


def _verdict(
    mean: np.ndarray, class_probability: int, drawn: np.ndarray, own: list[np.ndarray], rule: Rule, limits: Limits
) -> str:
    """The first reason to doubt a class, or what is sure of it."""
    if limits.absent < class_probability < limits.there:
        return GATE_UNSURE
    if bool(drawn.any()) != (class_probability >= limits.there):
        return GATE_AGAINST_MASK
    lenient, strict = (rule.shifted(by).apply(mean, class_probability) for by in (-limits.margin, limits.margin))
    if dice(lenient, strict) < limits.agreement:
        return MASK_UNSURE
    if any(dice(one, drawn) < limits.agreement for one in own):
        return MEMBERS_DIFFER
    return THERE if drawn.any() else ABSENT
