"""Which errors cost how much Dice: missed defects, false positives, and inexact outlines."""

from __future__ import annotations

from typing import Any

import numpy as np

from severstal.data.labels import CLASSES
from severstal.report.evaluation import BORDER_DISTANCE, Evaluation

CAUSES = {"missed": "missed", "false_positives": "false positives", "inexact_outlines": "inexact outlines"}


def analyse_errors(evaluation: Evaluation) -> dict[str, Any]:
    """Counts of errors and lost Dice by class, and the false positives on strips without any defect."""
    clean = np.asarray(~(evaluation.true_area > 0).any(axis=1))
    false_positives = (evaluation.predicted_area[clean] > 0).any(axis=1)
    return {
        "classes": {str(defect): _class_errors(evaluation, defect - 1, clean) for defect in CLASSES},
        "clean_strips": {"strips": int(clean.sum()), "false_positives": int(false_positives.sum())},
        "border_distance": BORDER_DISTANCE,
    }


def _class_errors(evaluation: Evaluation, c: int, clean: np.ndarray) -> dict[str, Any]:
    is_true, is_predicted = evaluation.true_area[:, c] > 0, evaluation.predicted_area[:, c] > 0
    found, missed, false_positive = is_true & is_predicted, is_true & ~is_predicted, ~is_true & is_predicted
    areas = evaluation.true_area + evaluation.predicted_area - 2 * evaluation.overlap_area
    wrong_pixels = areas[found, c].sum()
    lost = 1 - evaluation.dice[:, c]
    return {
        "with_defect": int(is_true.sum()),
        "found": int(found.sum()),
        "missed": int(missed.sum()),
        "false_positives": int(false_positive.sum()),
        "false_positives_on_clean": int((false_positive & clean).sum()),
        "dice_of_found": float(1 - lost[found].mean()) if found.any() else None,
        "wrong_pixels_near_border": (
            float(evaluation.near_border[found, c].sum() / wrong_pixels) if wrong_pixels else None
        ),
        "lost_dice": {
            "missed": float(lost[missed].sum() / len(lost)),
            "false_positives": float(lost[false_positive].sum() / len(lost)),
            "inexact_outlines": float(lost[found].sum() / len(lost)),
        },
    }
