"""Dice on cases worked by hand and against sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal.postprocess.metric import dice


def test_worked_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0]], dtype=bool)
    assert dice(np.array([[0, 1, 1, 0]], dtype=bool), truth) == pytest.approx(2 * 1 / 4)
    assert dice(np.array([[1, 1, 1, 1]], dtype=bool), truth) == pytest.approx(2 * 2 / 6)
    assert dice(truth, truth) == 1


def test_both_empty_is_one_and_one_empty_is_zero() -> None:
    empty, full = np.zeros((2, 3), dtype=bool), np.ones((2, 3), dtype=bool)
    assert dice(empty, empty) == 1
    assert dice(empty, full) == 0
    assert dice(full, empty) == 0


def test_the_mean_is_over_strips_and_classes_not_over_pixels() -> None:
    """One strip, four classes: three empty ones right, one missed. Flattened over classes it would be 0."""
    truth = np.zeros((1, 4, 2, 2), dtype=bool)
    truth[0, 2] = True
    assert dice(np.zeros_like(truth), truth).tolist() == [[1, 1, 0, 1]]
    assert dice(np.zeros_like(truth), truth).mean() == 0.75


@given(arrays(bool, (3, 4, 5)), arrays(bool, (3, 4, 5)))
def test_equals_dice_of_sets(predicted: np.ndarray, truth: np.ndarray) -> None:
    for one, x, y in zip(dice(predicted, truth), predicted, truth, strict=True):
        a, b = set(np.flatnonzero(x)), set(np.flatnonzero(y))
        assert one == (2 * len(a & b) / (len(a) + len(b)) if a or b else 1)


@given(st.integers(0, 3))
def test_all_empty_scores_the_share_of_empty_cells(defects: int) -> None:
    truth = np.zeros((4, 3, 3), dtype=bool)
    truth[:defects, 1, 1] = True
    assert dice(np.zeros_like(truth), truth).mean() == (4 - defects) / 4
