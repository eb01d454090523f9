"""Which crops a network is trained on: the samplers draw strips by class and request one crop of each.

A request is a function of (seed, epoch, position) alone: neither the number of loader processes nor an interruption
changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import Sampler

from severstal.data.labels import CLASSES
from severstal.data.training_set import TrainingSet
from severstal.recipe import Recipe

CLEAN = 0  # the group of strips without a defect; the other groups are the classes
PSEUDO_LABEL_STREAM = 1  # of a request's seed; the crop and its augmentation use the seed itself


@dataclass(frozen=True)
class CropRequest:
    """One crop to be made.

    It holds everything that depends on the epoch, because loader processes keep their copy of the data set for the
    whole training.

    Attributes:
        image: the strip's file name.
        defect: the class that the strip was drawn for; ``CLEAN`` for none.
        seed: of the crop's position and augmentation.
        scale: share of the recipe's crop height and width.
        donor: a strip of which a defect is pasted into the crop, or None.
    """

    image: str
    defect: int
    seed: int
    scale: float = 1.0
    donor: str | None = None


class ClassSampler(Sampler[CropRequest]):
    """Draws a group, clean strips or one of the classes, by the recipe's shares, then a strip of the group uniformly.

    The shares of groups that the fold has no strip of go to the others. Of several processes each draws the same list
    and takes every ``world_size``-th request of it.

    Attributes:
        epoch: from 1, to be set before each epoch.
    """

    def __init__(
        self, data: TrainingSet, images: list[str], recipe: Recipe, rank: int = 0, world_size: int = 1
    ) -> None:
        self._groups = [[image for image in images if not data.labels[image]]]
        self._groups += [[image for image in images if defect in data.labels[image]] for defect in CLASSES]
        shares = np.array(recipe.class_sampling) * [bool(group) for group in self._groups]
        if not shares.sum():
            shares = np.array([float(bool(group)) for group in self._groups])
        self._shares = shares / shares.sum()
        self._recipe, self._rank, self._world_size = recipe, rank, world_size
        self._donors = self._groups[recipe.copy_paste_class]
        batch = recipe.batch_size * recipe.grad_accum_steps
        self._count = max(recipe.samples_per_epoch // batch, 1) * batch
        self.epoch = 0

    def __len__(self) -> int:
        return self._count // self._world_size

    def __iter__(self) -> Iterator[CropRequest]:
        rng = np.random.default_rng([self._recipe.seed, self.epoch])
        defects = rng.choice(len(self._groups), size=self._count, p=self._shares)
        picks, seeds = rng.random(self._count), rng.integers(2**31, size=self._count)
        donors, scale = self._draw_donors(rng), crop_scale(self._recipe, self.epoch)
        for position in range(self._rank, self._count, self._world_size):
            defect = int(defects[position])
            group = self._groups[defect]
            image = group[int(picks[position] * len(group))]
            yield CropRequest(image, defect, int(seeds[position]), scale, donors.get(position))

    def _draw_donors(self, rng: np.random.Generator) -> dict[int, str]:
        """The donor strips of the positions into which a defect is pasted."""
        if not self._recipe.copy_paste or not self._donors:
            return {}
        positions = np.flatnonzero(rng.random(self._count) < self._recipe.copy_paste)
        drawn = rng.integers(len(self._donors), size=len(positions))
        return {int(position): self._donors[number] for position, number in zip(positions, drawn, strict=True)}


class PseudoLabelSampler(ClassSampler):
    """A :class:`ClassSampler` that replaces a share of its strips by pseudo-labelled strips of ``data.pseudo``.

    A strip is only replaced by one of the same group, so the groups keep their shares.
    """

    def __init__(
        self, data: TrainingSet, images: list[str], recipe: Recipe, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(data, images, recipe, rank, world_size)
        labels, self._share = data.pseudo.labels if data.pseudo else {}, recipe.pseudo_label_share
        self._pseudo_groups = {defect: [image for image in labels if defect in labels[image]] for defect in CLASSES}
        self._pseudo_groups[CLEAN] = [image for image in labels if not labels[image]]

    def __iter__(self) -> Iterator[CropRequest]:
        return map(self._maybe_replace, super().__iter__())

    def _maybe_replace(self, request: CropRequest) -> CropRequest:
        group = self._pseudo_groups[request.defect]
        chance, pick = np.random.default_rng([request.seed, PSEUDO_LABEL_STREAM]).random(2)
        if not group or chance >= self._share:
            return request
        return replace(request, image=group[int(pick * len(group))])


def crop_scale(recipe: Recipe, epoch: int) -> float:
    """Share of the full height and width that crops have in an epoch (from 1).

    With progressive crops it rises linearly from a half to 1 over the recipe's share of the epochs; else it is 1.
    """
    growing = recipe.progressive_crops * recipe.epochs
    return 1.0 if not growing or epoch > growing else 0.5 + 0.5 * (epoch - 1) / growing
