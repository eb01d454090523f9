"""Dice on cases worked by hand and against sets of pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal.postprocess.metric import dice


def test_dice_is_twice_the_overlap_by_the_sum_of_both_areas() -> None:
    truth = np.array([[1, 1, 0, 0]], dtype=bool)
    assert dice(np.array([[0, 1, 1, 0]], dtype=bool), truth) == 2 * 1 / 4
    assert dice(np.array([[1, 1, 1, 1]], dtype=bool), truth) == 2 * 2 / 6
    assert dice(truth, truth) == 1


def test_dice_of_two_empty_masks_is_one_and_of_one_empty_mask_is_zero() -> None:
    empty, full = np.zeros((2, 3), dtype=bool), np.ones((2, 3), dtype=bool)
    assert dice(empty, empty) == 1
    assert dice(empty, full) == 0
    assert dice(full, empty) == 0


def test_each_strip_and_class_has_a_dice_of_its_own() -> None:
    """One strip, four classes: three empty ones right, one missed. Flattened over classes it would be 0."""
    truth = np.zeros((1, 4, 2, 2), dtype=bool)
    truth[0, 2] = True
    assert dice(np.zeros_like(truth), truth).tolist() == [[1, 1, 0, 1]]


@settings(deadline=None)
@given(arrays(bool, (3, 4, 5)), arrays(bool, (3, 4, 5)))
def test_dice_of_masks_equals_dice_of_sets_of_pixels(predicted: np.ndarray, truth: np.ndarray) -> None:
    for found, x, y in zip(dice(predicted, truth), predicted, truth, strict=True):
        a, b = set(np.flatnonzero(x)), set(np.flatnonzero(y))
        assert found == (2 * len(a & b) / (len(a) + len(b)) if a or b else 1)


@given(st.integers(0, 4))
def test_predicting_nothing_scores_the_share_of_classes_that_do_not_occur(defects: int) -> None:
    truth = np.zeros((4, 3, 3), dtype=bool)
    truth[:defects, 1, 1] = True
    assert dice(np.zeros_like(truth), truth).mean() == (4 - defects) / 4
