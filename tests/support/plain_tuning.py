"""Plain, slow code that tuning is compared with, and small maps to tune on."""

from __future__ import annotations

import numpy as np

from severstal.data.labels import CLASSES
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import RuleType
from severstal.tuning.component_tree import TreeWorkspace
from severstal.tuning.grids import Grids
from severstal.tuning.scoring import Values


def grids_of_map(probability: np.ndarray, truth: np.ndarray) -> dict[RuleType, np.ndarray]:
    """The grids of all rules of one map, by the fast code."""
    grids = Grids()
    grids.add(TreeWorkspace(*probability.shape), probability, truth if truth.any() else None)
    return grids.sums


class Strips:
    """Synthetic maps of several encoders, in folds."""

    height, width = 32, 64
    has_heads = False

    def __init__(self, folds: int, each: int, noise: dict[str, float], occurring: tuple[int, ...] = CLASSES) -> None:
        rng = np.random.default_rng(folds * 100 + each)
        self.encoders = list(noise)
        self.folds = [[f"{fold}-{number}" for number in range(each)] for fold in range(folds)]
        self._maps: dict[str, list[np.ndarray]] = {}
        self._truth: dict[str, np.ndarray] = {}
        for number, image in enumerate(image for fold in self.folds for image in fold):
            truth = np.zeros((4, self.height, self.width), dtype=bool)
            for defect in occurring if number % 2 else ():
                truth[defect - 1, 8:24, 10 + number % 7 : 40] = True
            self._truth[image] = truth
            noisy = [truth * 110 + 60 + rng.normal(0, level, truth.shape) for level in noise.values()]
            self._maps[image] = [np.clip(maps, 0, 255).astype(np.uint8) for maps in noisy]

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        assert image in self.folds[fold]
        return self._maps[image]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        return [maps.max(axis=(1, 2)) for maps in self._maps[image]]

    def truth(self, image: str) -> dict[int, np.ndarray]:
        return {defect: mask for defect, mask in zip(CLASSES, self._truth[image], strict=True) if mask.any()}

    def score(self, fold: int, values: Values) -> np.ndarray:
        """Dice of a fold's strips by the code of prediction, ``[strips, 4]``."""
        scores = []
        for image in self.folds[fold]:
            mean = mean_map(self._maps[image], values.ensemble_weights)
            masks = [rule.apply(probability, 255) for probability, rule in zip(mean, values.rules, strict=True)]
            scores.append(dice(np.stack(masks), self._truth[image]))
        return np.array(scores)
