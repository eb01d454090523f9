"""Which predictions are consistent enough to serve as labels, and why others are rejected."""

from __future__ import annotations

import numpy as np
import pytest
from support.pseudo_labelled_run import BOX, maps_with

from severstal.inference.assessment import Assessment, Limits, Outcome, assess
from severstal.postprocess.rules import ComponentArea

LIMITS = Limits(min_present=204, max_absent=102, threshold_margin=1.0, min_agreement=0.8)
RULES = (ComponentArea(threshold=128, min_area=20),) * 4
STEEL = (0, 90)  # columns; beside them lies the black bar


def assess_maps(*maps: np.ndarray, weights: list[int] | None = None) -> Assessment:
    """The assessment of networks whose class probabilities are the maxima of their maps."""
    class_probabilities = [of_network.max(axis=(1, 2)) for of_network in maps]
    return assess(maps, class_probabilities, weights or [1] * len(maps), RULES, LIMITS, STEEL)


def test_a_strip_is_accepted_where_classifier_and_mask_agree_on_every_class() -> None:
    found = assess_maps(maps_with((2, BOX, 250)))
    assert found.outcomes == [Outcome.ABSENT, Outcome.PRESENT, Outcome.ABSENT, Outcome.ABSENT]
    assert found.is_accepted
    assert np.array_equal(found.masks[1], BOX)
    assert not found.masks[[0, 2, 3]].any()
    assert assess_maps(maps_with()).outcomes == [Outcome.ABSENT] * 4


def test_a_class_probability_between_the_limits_is_uncertain() -> None:
    found = assess_maps(maps_with((3, BOX, 180)))
    assert found.outcomes[2] == Outcome.CLASSIFIER_UNCERTAIN
    assert not found.is_accepted


def test_classifier_and_mask_must_not_contradict_each_other() -> None:
    speck = np.zeros((64, 96), dtype=bool)
    speck[0, :5] = True  # high enough for the classifier, too small for a mask
    assert assess_maps(maps_with((1, speck, 250))).outcomes[0] == Outcome.CLASSIFIER_CONTRADICTS_MASK
    blind = [np.zeros(4, dtype=np.uint8)]
    found = assess([maps_with((4, BOX, 250))], blind, [1], RULES, LIMITS, STEEL)
    assert found.outcomes[3] == Outcome.CLASSIFIER_CONTRADICTS_MASK


@pytest.mark.parametrize(("level", "outcome"), [(110, Outcome.MASK_UNSTABLE), (40, Outcome.PRESENT)])
def test_a_mask_must_not_depend_on_its_threshold(level: int, outcome: Outcome) -> None:
    faint = np.zeros((64, 96), dtype=bool)
    faint[10:40, 60:90] = True
    assert assess_maps(maps_with((1, BOX, 250), (1, faint, level))).outcomes[0] == outcome


def test_every_network_with_a_weight_must_agree_with_the_mean() -> None:
    half = BOX.copy()
    half[:, 40:] = False
    usual, other = maps_with((1, BOX, 250)), maps_with((1, half, 250))
    assert assess_maps(usual, usual).outcomes[0] == Outcome.PRESENT
    assert assess_maps(usual, other, *[usual] * 5).outcomes[0] == Outcome.MEMBERS_DISAGREE
    assert assess_maps(usual, other, usual, usual, weights=[1, 0, 1, 1]).outcomes[0] == Outcome.PRESENT


def test_masks_of_two_classes_must_not_share_a_pixel() -> None:
    found = assess_maps(maps_with((1, BOX, 250), (3, BOX, 250)))
    assert found.outcomes == [Outcome.CLASSES_OVERLAP, Outcome.ABSENT, Outcome.CLASSES_OVERLAP, Outcome.ABSENT]


def test_a_defect_must_touch_the_steel() -> None:
    outside, across = np.zeros((64, 96), dtype=bool), np.zeros((64, 96), dtype=bool)
    outside[30:60, 91:96], across[10:40, 70:96] = True, True
    assert assess_maps(maps_with((2, BOX, 250), (2, outside, 250))).outcomes[1] == Outcome.OUTSIDE_STEEL
    assert assess_maps(maps_with((2, BOX, 250), (2, across, 250))).outcomes[1] == Outcome.PRESENT
