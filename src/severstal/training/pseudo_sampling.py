"""Samples of labelled and pseudo-labelled strips together: a set share of each kind's samples is of the latter.

Kinds keep their shares: a labelled strip is only ever swapped for a pseudo-labelled one of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from severstal.data.labels import CLASSES
from severstal.data.training_set import TrainingSet
from severstal.recipe import Recipe
from severstal.training.sampling import CLEAN, ClassSampler, Draw

STREAM = 1  # of a sample's seed: stream 0 shapes crop and augmentation


class PseudoLabelSampler(ClassSampler):
    """Draws of :class:`ClassShares`, some of them swapped for strips of ``data.pseudo``."""

    def __init__(self, data: TrainingSet, images: list[str], recipe: Recipe, rank: int = 0, world: int = 1) -> None:
        super().__init__(data, images, recipe, rank, world)
        labels, self._pseudo_share = data.pseudo.labels, recipe.pseudo_label_share
        self._taken = {defect: [image for image in labels if defect in labels[image]] for defect in CLASSES}
        self._taken[CLEAN] = [image for image in labels if not labels[image]]

    def __iter__(self) -> Iterator[Draw]:
        return map(self._swapped, super().__iter__())

    def _swapped(self, draw: Draw) -> Draw:
        taken = self._taken[draw.defect]
        chance, pick = np.random.default_rng([draw.seed, STREAM]).random(2)
        if not taken or chance >= self._pseudo_share:
            return draw
        return replace(draw, image=taken[int(pick * len(taken))])
