"""Every out-of-fold prediction compared with the truth, pixel by pixel, in one pass over the maps.

The masks are those of the tuned values, which were chosen with these strips too. The Dice of the nested values is in
the table that tuning writes (folds/tuning/strips.csv).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal.data.labels import CLASSES
from severstal.data.out_of_fold import EnsembleMaps
from severstal.hardware import core_count
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice_of_counts
from severstal.postprocess.rules import Rule
from severstal.postprocess.tuned_values import TunedValues

LEVELS = 256  # of an 8-bit probability
BORDER_DISTANCE = 5  # px: wrong pixels this near to the true border depend on how loosely the border was drawn
STRIPS_PER_TASK = 32


@dataclass(frozen=True)
class Evaluation:
    """Counts and scores of ``n`` strips, in the order of ``images``.

    Attributes:
        images: names of the strips.
        folds: fold of each strip, ``int64 [n]``.
        true_area, predicted_area, overlap_area: pixels, ``int64 [n, 4]``.
        near_border: wrong pixels at most ``BORDER_DISTANCE`` from the true border, ``int64 [n, 4]``.
        encoder_dice: Dice of one encoder's maps alone, ``float64 [encoders, n, 4]``.
        without_encoder_dice: Dice of the ensemble without one encoder, ``float64 [encoders, n, 4]``; NaN for the only
            encoder of an ensemble.
        pixels, positives: number of pixels at each level of the averaged map, and how many of them show the class,
            ``int64 [4, 256]``.
    """

    images: list[str]
    folds: np.ndarray
    true_area: np.ndarray
    predicted_area: np.ndarray
    overlap_area: np.ndarray
    near_border: np.ndarray
    encoder_dice: np.ndarray
    without_encoder_dice: np.ndarray
    pixels: np.ndarray
    positives: np.ndarray

    @property
    def dice(self) -> np.ndarray:
        """Dice of the tuned values, ``float64 [n, 4]``."""
        return dice_of_counts(self.overlap_area, self.true_area + self.predicted_area)


def evaluate(maps: EnsembleMaps, values: TunedValues) -> Evaluation:
    """Evaluate the tuned values on every training strip, with the maps of the networks that were not trained on it."""
    strips = [(fold, image) for fold, images in enumerate(maps.folds) for image in images]
    tasks = [strips[start : start + STRIPS_PER_TASK] for start in range(0, len(strips), STRIPS_PER_TASK)]
    # Threads: decompression, OpenCV and NumPy release the interpreter's lock.
    results = Parallel(n_jobs=core_count(), prefer="threads", return_as="generator")(
        delayed(_evaluate_strips)(maps, values, task) for task in tasks
    )
    parts = list(tqdm(results, "evaluate", total=len(tasks), unit="task", leave=False, disable=None))
    counts, encoder_scores, levels = (list(part) for part in zip(*parts, strict=True))
    true_area, predicted_area, overlap_area, near_border = np.concatenate(counts).transpose(2, 0, 1)
    encoder_dice, without_encoder_dice = np.concatenate(encoder_scores, axis=2)
    pixels, positives = np.sum(levels, axis=0)
    return Evaluation(
        images=[image for _, image in strips],
        folds=np.array([fold for fold, _ in strips]),
        true_area=true_area,
        predicted_area=predicted_area,
        overlap_area=overlap_area,
        near_border=near_border,
        encoder_dice=encoder_dice,
        without_encoder_dice=without_encoder_dice,
        pixels=pixels,
        positives=positives,
    )


def _evaluate_strips(
    maps: EnsembleMaps, values: TunedValues, strips: list[tuple[int, str]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts ``[n, 4, 4]``, Dice of parts of the ensemble ``[2, encoders, n, 4]``, level counts ``[2, 4, 256]``."""
    weights = [values.ensemble_weights[encoder] for encoder in maps.encoders]
    counts = np.zeros((len(strips), len(CLASSES), 4), dtype=np.int64)
    encoder_scores = np.full((2, len(weights), len(strips), len(CLASSES)), np.nan)
    levels = np.zeros((2, len(CLASSES), LEVELS), dtype=np.int64)
    no_defect = np.zeros((maps.height, maps.width), dtype=bool)
    for row, (fold, image) in enumerate(strips):
        probabilities, true_masks = maps.maps(fold, image), maps.truth(image)
        class_probabilities = maps.class_probabilities(fold, image)
        mean, class_mean = mean_map(probabilities, weights), mean_map(class_probabilities, weights)
        for c, (defect, rule) in enumerate(zip(CLASSES, values.rules, strict=True)):
            truth = true_masks.get(defect, no_defect)
            counts[row, c] = compare(rule.apply(mean[c], class_mean[c]), truth)
            levels[0, c] += np.bincount(mean[c].ravel(), minlength=LEVELS)
            levels[1, c] += np.bincount(mean[c][truth], minlength=LEVELS)
            encoder_scores[:, :, row, c] = _encoder_scores(
                [maps[c] for maps in probabilities], [maps[c] for maps in class_probabilities], weights, rule, truth
            )
    return counts, encoder_scores, levels


def _encoder_scores(
    maps: list[np.ndarray], class_probabilities: list[np.ndarray], weights: list[int], rule: Rule, truth: np.ndarray
) -> np.ndarray:
    """Dice of one strip and class with each encoder alone, and without it, ``float64 [2, encoders]``."""
    scores = np.full((2, len(weights)), np.nan)
    for number in range(len(weights)):
        scores[0, number] = _dice(rule.apply(maps[number], int(class_probabilities[number])), truth)
        others = [weight if i != number else 0 for i, weight in enumerate(weights)]
        if any(others):
            class_mean = int(mean_map(class_probabilities, others))
            scores[1, number] = _dice(rule.apply(mean_map(maps, others), class_mean), truth)
    return scores


def compare(predicted: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    """Count pixels of two masks of one class.

    Args:
        predicted, truth: bool ``[H, W]``.

    Returns:
        True area, predicted area, overlap, and wrong pixels at most ``BORDER_DISTANCE`` from the true border.
    """
    areas = _area(truth), _area(predicted), _area(truth & predicted)
    wrong = truth ^ predicted
    if not areas[0] or not wrong.any():
        return *areas, 0
    plane = truth.astype(np.uint8)
    diameter = 2 * BORDER_DISTANCE + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    # The strip's own edge is not a border of the defect: OpenCV neither erodes nor dilates from there.
    border = (cv2.dilate(plane, kernel) - cv2.erode(plane, kernel)).astype(bool)
    return *areas, _area(wrong & border)


def _dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    overlap, total = _area(predicted & truth), _area(predicted) + _area(truth)
    return float(dice_of_counts(np.array(overlap), np.array(total)))


def _area(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))
