"""Plain, slow code that tuning is compared with, and small maps to tune on."""

from __future__ import annotations

import numpy as np

from severstal.data.labels import CLASSES
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice, dice_of_counts
from severstal.postprocess.tuned_values import components, mask
from severstal.tuning import component_tree, passes


def swept(probability: np.ndarray, truth: np.ndarray) -> component_tree.Grids:
    grids = component_tree.Grids()
    grids.add(component_tree.Workspace(*probability.shape), probability, truth if truth.any() else None)
    return grids


def plain_components(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice ``[255, 64]`` with one labelling per threshold."""
    made, pixels = np.empty((255, 64)), np.count_nonzero(truth)
    for threshold in component_tree.THRESHOLDS:
        labels, areas = components(probability >= threshold)
        overlaps = np.bincount(labels[truth], minlength=len(areas))
        kept = areas[1:] >= component_tree.AREAS[:, None]
        made[threshold - 1] = dice_of_counts((kept * overlaps[1:]).sum(1), (kept * areas[1:]).sum(1) + pixels)
    return made


class Strips:
    """Made-up maps of several encoders, in folds."""

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
            soft = [truth * 110 + 60 + rng.normal(0, level, truth.shape) for level in noise.values()]
            self._maps[image] = [np.clip(one, 0, 255).astype(np.uint8) for one in soft]

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        assert image in self.folds[fold]
        return self._maps[image]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        return [maps.max(axis=(1, 2)) for maps in self._maps[image]]

    def truth(self, image: str) -> dict[int, np.ndarray]:
        masks = dict(zip(CLASSES, self._truth[image], strict=True))
        return {defect: one for defect, one in masks.items() if one.any()}

    def score(self, fold: int, values: passes.Values) -> np.ndarray:
        """Dice of a fold's strips by prediction's own code, ``[strips, 4]``."""
        made = []
        for image in self.folds[fold]:
            averaged = mean_map(self._maps[image], values.ensemble_weights)
            masks = np.stack([mask(one, rule, 255) for one, rule in zip(averaged, values.rules, strict=True)])
            made.append(dice(masks, self._truth[image]))
        return np.array(made)
