"""Reliability of the probabilities: how often pixels show the class, by predicted probability."""

from __future__ import annotations

from typing import Any

import numpy as np

from severstal.data.labels import CLASSES
from severstal.report.evaluation import LEVELS, Evaluation

BINS = 10


def calibration_per_class(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """For each class a reliability diagram in bins of one tenth, and the expected calibration error.

    The error is the mean distance between the predicted probability and the share of positive pixels (Naeini, Cooper &
    Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015). Pixels of probability 0
    are left out: they are nearly all pixels, and nearly all right.
    """
    return {
        str(defect): _calibration(evaluation.pixels[defect - 1], evaluation.positives[defect - 1]) for defect in CLASSES
    }


def _calibration(pixels: np.ndarray, positives: np.ndarray) -> dict[str, Any]:
    levels = np.arange(LEVELS)
    bin_of_level = np.minimum(levels * BINS // (LEVELS - 1), BINS - 1)
    bins, total, distance = [], 0, 0.0
    for number in range(BINS):
        inside = (bin_of_level == number) & (levels > 0)
        count = int(pixels[inside].sum())
        if not count:
            continue
        mean_probability = float((pixels[inside] * levels[inside]).sum() / count / (LEVELS - 1))
        positive_share = float(positives[inside].sum() / count)
        bins.append(
            {"bin": number, "pixels": count, "mean_probability": mean_probability, "positive_share": positive_share}
        )
        total += count
        distance += abs(mean_probability - positive_share) * count
    return {"bins": bins, "expected_calibration_error": distance / total if total else None}
