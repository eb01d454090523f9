"""The score of a submission, where the truth of its strips is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from severstal.data.labels import CLASSES, masks, read_labels
from severstal.data.rle import decode
from severstal.postprocess.metric import dice


def score_against_truth(codes: dict[str, list[str]], truth: Path, height: int, width: int) -> dict[str, float]:
    """The competition's metric of predicted codes, and that of an empty submission.

    Args:
        codes: the four run-length codes of each strip.
        truth: labels of these strips, a file in the form of ``train.csv``.

    Returns:
        Mean Dice by ``mean``, of an empty submission by ``all_empty``, and per class by ``1`` to ``4``.
    """
    labels = read_labels(truth, height, width, list(codes))
    scores, scores_of_empty = [], []
    for image, predicted in codes.items():
        expected = masks(labels[image], height, width)
        scores.append(dice(np.stack([decode(code, height, width) for code in predicted]), expected))
        scores_of_empty.append(dice(np.zeros_like(expected), expected))
    per_class = np.mean(scores, axis=0)
    return {
        "mean": float(per_class.mean()),
        "all_empty": float(np.mean(scores_of_empty)),
        **{str(defect): float(score) for defect, score in zip(CLASSES, per_class, strict=True)},
    }
