"""Dice of every strip under the chosen values, computed by the code of prediction and the metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from severstal.data.labels import CLASSES
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import Rule
from severstal.postprocess.tuned_values import SCORES
from severstal.tuning.blocks import Block, EnsembleWeights, Maps, averages, in_order, over_blocks

STRIPS_PER_BLOCK = 64  # that one thread scores at a time


@dataclass(frozen=True)
class Values:
    """One complete choice: how maps are averaged, and the rule of each class."""

    ensemble_weights: EnsembleWeights
    rules: tuple[Rule, ...]


def score_strips(
    source: Maps, default: Values, tuned: Values, nested: list[Values], workers: int
) -> dict[str, np.ndarray]:
    """Every strip's Dice for each of ``SCORES``, ``float64 [strips, 4]``.

    Args:
        nested: for each fold, what was chosen without its strips.
    """

    def of_block(block: Block) -> np.ndarray:
        scores = np.empty((len(block.images), len(SCORES), len(CLASSES)))
        for row, image in enumerate(block.images):
            choices = (None, default, tuned, nested[block.fold])
            means = averages(source, block.fold, image, (values.ensemble_weights for values in choices if values))
            scores[row] = _score(means, source.truth(image), choices)
        return scores

    blocks = in_order(source.folds, STRIPS_PER_BLOCK)
    scores = np.concatenate(over_blocks(of_block, blocks, workers, "scores"))
    return {name: scores[:, i] for i, name in enumerate(SCORES)}


def _score(
    means: dict[EnsembleWeights, tuple[np.ndarray, np.ndarray]],
    truth: dict[int, np.ndarray],
    choices: Sequence[Values | None],
) -> np.ndarray:
    """Dice of one strip under each choice of values (None: nothing predicted), ``float64 [choices, 4]``."""
    known: dict[tuple[int, EnsembleWeights, Rule], float] = {}  # choices often agree
    scores = np.empty((len(choices), len(CLASSES)))
    for row, values in enumerate(choices):
        for c, defect in enumerate(CLASSES):
            if values is None:
                scores[row, c] = defect not in truth
                continue
            key = (defect, values.ensemble_weights, values.rules[c])
            if key not in known:
                maps, class_probabilities = means[values.ensemble_weights]
                predicted = values.rules[c].apply(maps[c], class_probabilities[c])
                known[key] = float(dice(predicted, truth[defect])) if defect in truth else float(not predicted.any())
            scores[row, c] = known[key]
    return scores
