"""The competition's metric: Dice of every (strip, class), 1 where both are empty, then the plain mean.

Source: https://www.kaggle.com/competitions/severstal-steel-defect-detection/overview/evaluation
"""

from __future__ import annotations

import numpy as np


def dice(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """``2|X and Y| / (|X| + |Y|)`` over the last two axes, 1 where both masks are empty.

    Args:
        predicted: bool ``[..., H, W]``.
        truth: bool, the same shape.

    Returns:
        float64 ``[...]``.
    """
    overlap = np.count_nonzero(predicted & truth, axis=(-2, -1))
    total = np.count_nonzero(predicted, axis=(-2, -1)) + np.count_nonzero(truth, axis=(-2, -1))
    return dice_of_counts(overlap, total)


def dice_of_counts(overlap: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Dice from pixel counts: ``overlap`` is ``|X and Y|``, ``total`` is ``|X| + |Y|``; float64."""
    total = np.asarray(total)
    return np.where(total > 0, 2 * np.asarray(overlap) / np.maximum(total, 1), 1.0)
