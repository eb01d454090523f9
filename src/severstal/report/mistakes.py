"""Where Dice is lost, and how far the probabilities can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from severstal.data.labels import CLASSES
from severstal.report.strip_study import LEVELS, Study

BINS = 10


def per_class(seen: Study) -> dict[str, dict[str, Any]]:
    """Of each class: how many defects were found, missed and made up, and the points of Dice that each costs."""
    clean = ~(seen.truth > 0).any(axis=1)
    return {str(defect): _of_class(seen, defect - 1, clean) for defect in CLASSES}


def _of_class(seen: Study, c: int, clean: np.ndarray) -> dict[str, Any]:
    there, drawn = seen.truth[:, c] > 0, seen.predicted[:, c] > 0
    found, missed, made_up = there & drawn, there & ~drawn, ~there & drawn
    wrong = (seen.truth + seen.predicted - 2 * seen.overlap)[found, c].sum()
    lost = 1 - seen.dice[:, c]
    strips = len(lost)
    return {
        "strips": strips,
        "with_defect": int(there.sum()),
        "found": int(found.sum()),
        "missed": int(missed.sum()),
        "false_alarms": int(made_up.sum()),
        "false_alarms_on_clean": int((made_up & clean).sum()),
        "dice_of_found": float(1 - lost[found].mean()) if found.any() else None,
        "wrong_pixels_near_border": float(seen.near[found, c].sum() / wrong) if wrong else None,
        "lost": {
            "missed": float(lost[missed].sum() / strips),
            "false_alarms": float(lost[made_up].sum() / strips),
            "inexact": float(lost[found].sum() / strips),
        },
    }


def clean_strips(seen: Study) -> dict[str, int]:
    """How many strips have no defect, and on how many of them one is predicted."""
    clean = ~(seen.truth > 0).any(axis=1)
    return {"strips": int(clean.sum()), "false_alarms": int((seen.predicted[clean] > 0).any(axis=1).sum())}


def reliability(seen: Study) -> dict[str, dict[str, Any]]:
    """Of each class: in tenths of probability, the mean that was told and the share that was true.

    ``gap`` is the mean distance of the two over all pixels told more than one half of a level above 0: what was
    told 0 and is 0 would drown the rest (expected calibration error, Naeini, Cooper & Hauskrecht, AAAI 2015).
    """
    return {str(defect): _reliability(seen.pixels[defect - 1], seen.hits[defect - 1]) for defect in CLASSES}


def _reliability(pixels: np.ndarray, hits: np.ndarray) -> dict[str, Any]:
    levels = np.arange(LEVELS)
    bin_of = np.minimum(levels * BINS // (LEVELS - 1), BINS - 1)
    rows, gaps = [], []
    for b in range(BINS):
        inside = (bin_of == b) & (levels > 0)
        count = int(pixels[inside].sum())
        if not count:
            continue
        told = float((pixels[inside] * levels[inside]).sum() / count / (LEVELS - 1))
        true = float(hits[inside].sum() / count)
        rows.append({"bin": b, "pixels": count, "told": told, "true": true})
        gaps.append(abs(told - true) * count)
    counted = sum(row["pixels"] for row in rows)
    return {"bins": rows, "gap": sum(gaps) / counted if counted else None}
