"""One pass over the out-of-fold maps: of every strip and class what was found, missed or made up, and how surely.

Masks are those of the tuned values, which were chosen with these strips too; the Dice of nested values comes from
tuning's own table (folds/tuning/strips.csv).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal.data.labels import CLASSES
from severstal.data.out_of_fold import EnsembleMaps
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice_of_counts
from severstal.postprocess.tuned_values import TunedValues

LEVELS = 256
NEAR = 5  # px: a wrong pixel this close to the truth's border is a matter of how loosely the border was drawn
CHUNK = 32  # strips that one thread looks at in a row


@dataclass(frozen=True)
class Study:
    """What was found on ``n`` strips, in the order of ``images``.

    Attributes:
        images: names.
        folds: fold of each strip, ``int64 [n]``.
        truth, predicted, overlap: pixels, ``int64 [n, 4]``.
        near: wrong pixels at most ``NEAR`` from the truth's border, ``int64 [n, 4]``.
        alone: Dice with one encoder's maps only, ``float64 [encoders, n, 4]``.
        without: Dice of the ensemble without one encoder, likewise; NaN where it is the only one.
        pixels, hits: pixels at each level of the averaged 8-bit probability, and how many of them are of the
            class, ``int64 [4, 256]``.
    """

    images: list[str]
    folds: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    overlap: np.ndarray
    near: np.ndarray
    alone: np.ndarray
    without: np.ndarray
    pixels: np.ndarray
    hits: np.ndarray

    @property
    def dice(self) -> np.ndarray:
        """Dice of the tuned values, ``float64 [n, 4]``."""
        return dice_of_counts(self.overlap, self.truth + self.predicted)


def study(source: EnsembleMaps, values: TunedValues) -> Study:
    """Look at every out-of-fold strip once."""
    todo = [(fold, image) for fold, images in enumerate(source.folds) for image in images]
    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
    # Threads: decompression, OpenCV and NumPy's loops let one another run.
    made = Parallel(n_jobs=os.cpu_count() or 1, prefer="threads", return_as="generator")(
        delayed(_look)(source, values, chunk) for chunk in chunks
    )
    parts = list(tqdm(made, "strips", total=len(chunks), unit="chunk", leave=False, disable=None))
    counts, others, levels = (list(part) for part in zip(*parts, strict=True))
    truth, predicted, overlap, near = np.concatenate(counts).transpose(2, 0, 1)
    alone, without = np.concatenate(others, axis=2)
    pixels, hits = np.sum(levels, axis=0)
    return Study(
        [image for _, image in todo],
        np.array([fold for fold, _ in todo]),
        truth,
        predicted,
        overlap,
        near,
        alone,
        without,
        pixels,
        hits,
    )


def _look(source: EnsembleMaps, values: TunedValues, chunk: list[tuple[int, str]]) -> tuple[np.ndarray, ...]:
    """Of some strips: counts ``[n, 4, 4]``, Dice of fewer encoders ``[2, encoders, n, 4]``, levels ``[2, 4, 256]``."""
    weights = [values.ensemble_weights[encoder] for encoder in source.encoders]
    counts = np.zeros((len(chunk), len(CLASSES), 4), dtype=np.int64)
    others = np.full((2, len(weights), len(chunk), len(CLASSES)), np.nan)
    levels = np.zeros((2, len(CLASSES), LEVELS), dtype=np.int64)
    nothing = np.zeros((source.height, source.width), dtype=bool)
    for row, (fold, image) in enumerate(chunk):
        maps, known = source.maps(fold, image), source.truth(image)
        sures = source.class_probabilities(fold, image)
        averaged, sure = mean_map(maps, weights), mean_map(sures, weights)
        for c, defect in enumerate(CLASSES):
            truth, rule = known.get(defect, nothing), values.rules[c]
            counts[row, c] = compare(rule.apply(averaged[c], sure[c]), truth)
            levels[0, c] += np.bincount(averaged[c].ravel(), minlength=LEVELS)
            levels[1, c] += np.bincount(averaged[c][truth], minlength=LEVELS)
            for number in range(len(weights)):
                others[0, number, row, c] = _dice(rule.apply(maps[number][c], sures[number][c]), truth)
                rest = [weight if i != number else 0 for i, weight in enumerate(weights)]
                if any(rest):
                    fewer, without = (mean_map([one[c] for one in given], rest) for given in (maps, sures))
                    others[1, number, row, c] = _dice(rule.apply(fewer, without), truth)
    return counts, others, levels


def compare(predicted: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    """Pixels of the truth, predicted, of both, and wrong ones at most ``NEAR`` from the truth's border.

    Args:
        predicted, truth: bool ``[H, W]``.
    """
    areas = np.count_nonzero(truth), np.count_nonzero(predicted), np.count_nonzero(truth & predicted)
    wrong = truth ^ predicted
    if not areas[0] or not wrong.any():
        return *areas, 0
    plane = truth.astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1, 2 * NEAR + 1))
    # A strip's own edge is no border of a defect: beyond it, erosion must not eat and dilation must not add.
    around = (cv2.dilate(plane, kernel) - cv2.erode(plane, kernel)).astype(bool)
    return *areas, np.count_nonzero(wrong & around)


def _dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    overlap = np.count_nonzero(predicted & truth)
    return float(dice_of_counts(overlap, np.count_nonzero(predicted) + np.count_nonzero(truth)))
