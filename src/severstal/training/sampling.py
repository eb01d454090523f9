"""What a network is shown in training: which strip, which crop of it, how it is altered.

Every sample is a function of (seed, epoch, position) alone: neither the number of loader processes nor an
interruption changes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks PyPI for news at import, and waits when offline
import albumentations as A

from severstal.data.labels import CLASSES
from severstal.data.memory_map import Strips
from severstal.data.training_set import TrainingSet
from severstal.recipe import Recipe
from severstal.training.copy_paste import CopyPaste

CLEAN = 0
CROP_STEP = 64  # px: every network at half size takes sides of multiples of it


@dataclass(frozen=True)
class Draw:
    """One sample to be made. It holds all that depends on the epoch: loader processes keep their data set for good.

    Attributes:
        defect: the class it was drawn for; 0: none.
        seed: of crop and augmentation.
        share: of the recipe's crop height and width.
        donor: a strip of which a defect is pasted.
    """

    image: str
    defect: int
    seed: int
    share: float = 1.0
    donor: str | None = None


class ClassSampler(Sampler[Draw]):
    """Draws strips so that clean ones and each class appear in set shares, then evenly among their strips.

    Shares of kinds that the fold has no strip of go to the others. With several processes each draws the same
    list and takes every ``world``-th of it.
    """

    def __init__(self, data: TrainingSet, images: list[str], recipe: Recipe, rank: int = 0, world: int = 1) -> None:
        self._pools = [[image for image in images if not data.labels[image]]]
        self._pools += [[image for image in images if defect in data.labels[image]] for defect in CLASSES]
        shares = np.array(recipe.class_sampling) * [bool(pool) for pool in self._pools]
        if not shares.sum():
            shares = np.array([float(bool(pool)) for pool in self._pools])
        self._shares = shares / shares.sum()
        self._recipe, self._rank, self._world = recipe, rank, world
        self._donors = self._pools[recipe.copy_paste_class]
        batch = recipe.batch_size * recipe.grad_accum_steps
        self._count = max(recipe.samples_per_epoch // batch, 1) * batch
        self.epoch = 0

    def __len__(self) -> int:
        return self._count // self._world

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self._recipe.seed, self.epoch])
        kinds = rng.choice(len(self._pools), size=self._count, p=self._shares)
        picks, seeds = rng.random(self._count), rng.integers(2**31, size=self._count)
        donors, share = self._draw_donors(rng), crop_share(self._recipe, self.epoch)
        for position in range(self._rank, self._count, self._world):
            pool, kind = self._pools[kinds[position]], int(kinds[position])
            image = pool[int(picks[position] * len(pool))]
            yield Draw(image, kind, int(seeds[position]), share, donors.get(position))

    def _draw_donors(self, rng: np.random.Generator) -> dict[int, str]:
        """The strip of which a defect is pasted, for the positions that get one."""
        if not self._recipe.copy_paste or not self._donors:
            return {}
        positions = np.flatnonzero(rng.random(self._count) < self._recipe.copy_paste)
        drawn = rng.integers(len(self._donors), size=len(positions))
        return {int(position): self._donors[number] for position, number in zip(positions, drawn, strict=True)}


def crop_share(recipe: Recipe, epoch: int) -> float:
    """Share of the full height and width that crops have in an epoch (from 1): from a half up to all, evenly."""
    growing = recipe.progressive_crops * recipe.epochs
    return 1.0 if not growing or epoch > growing else 0.5 + 0.5 * (epoch - 1) / growing


def crop_size(full: int, share: float) -> int:
    """Pixels of a share of a crop's side, to the nearest multiple of ``CROP_STEP``, and at the least that."""
    return full if share == 1 else min(full, max(CROP_STEP, round(full * share / CROP_STEP) * CROP_STEP))


class Crops(Dataset):
    """Maps a :class:`Draw` to ``(uint8 [1, h, w] crop, uint8 [h, w] bit map of its classes)``."""

    def __init__(self, source: Strips, recipe: Recipe) -> None:
        self._source, self._recipe = source, recipe
        _, height, width = source.shape
        self._height, self._width = min(recipe.crop_height, height), min(recipe.crop_width, width)
        if recipe.augment == "strong":  # rows and columns are exchanged: crops stay square in strips less high
            self._height = self._width = min(self._height, self._width)
        self._augment = augmentation(recipe.augment)
        self._paste = CopyPaste(source, recipe.copy_paste_class)

    def __getitem__(self, draw: Draw) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(draw.seed)
        size = crop_size(self._height, draw.share), crop_size(self._width, draw.share)
        top, left = self._corner(draw, rng, *size)
        grey = self._source.grey(draw.image)[top : top + size[0], left : left + size[1]]
        bits = self._source.runs(draw.image).bits(top, left, *size)
        if draw.donor is not None:
            grey, bits = self._paste(grey, bits, draw.donor, rng)
        self._augment.set_random_seed(draw.seed)
        made = self._augment(image=np.array(grey), mask=bits)
        return (
            torch.from_numpy(np.ascontiguousarray(made["image"]))[None],
            torch.from_numpy(np.ascontiguousarray(made["mask"])),
        )

    def _corner(self, draw: Draw, rng: np.random.Generator, crop_height: int, crop_width: int) -> tuple[int, int]:
        """Top left of a crop that lies on steel and, in a set share of cases, holds a pixel of the class."""
        _, height, width = self._source.shape
        lowest, highest = _range(*self._source.steel(draw.image), crop_width, width)
        top, left = rng.integers(height - crop_height + 1), rng.integers(lowest, highest + 1)
        if draw.defect != CLEAN and rng.random() < self._recipe.foreground_crop_share:
            runs = self._source.runs(draw.image)
            y, x = runs.pixel(draw.defect, int(rng.integers(runs.count(draw.defect))))
            top = rng.integers(max(y - crop_height + 1, 0), min(y, height - crop_height) + 1)
            # Loose masks reach into the bar: the defect goes before the bar.
            low, high = max(x - crop_width + 1, 0), min(x, width - crop_width)
            kept = (max(low, lowest), min(high, highest))
            low, high = kept if kept[0] <= kept[1] else (low, high)
            left = rng.integers(low, high + 1)
        return int(top), int(left)


def _range(first: int, last: int, crop: int, width: int) -> tuple[int, int]:
    """Leftmost and rightmost start of a crop within ``[first, last)``; with too little steel, around it."""
    if last - first >= crop:
        return first, last - crop
    left = min(max(first - (crop - (last - first)) // 2, 0), width - crop)
    return left, left


CHANGES = {
    "light": {"brightness": 0.15, "contrast": 0.2, "scale": (0.85, 1.15), "degrees": 6, "shape": 0.4},
    "strong": {"brightness": 0.25, "contrast": 0.3, "scale": (0.75, 1.25), "degrees": 12, "shape": 0.6},
}


def augmentation(strength: str) -> A.Compose:
    """Flips and changes of grey and shape: light ones, or strong ones where strips are few and are seen often."""
    by = CHANGES[strength]
    exchanged = [A.Transpose(p=0.5), A.RandomGamma(gamma_limit=(60, 160), p=0.5)] if strength == "strong" else []
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            *exchanged,
            A.RandomBrightnessContrast(brightness_limit=by["brightness"], contrast_limit=by["contrast"], p=0.7),
            A.Affine(
                scale=by["scale"],
                rotate=(-by["degrees"], by["degrees"]),
                shear=(-4, 4),
                border_mode=4,
                p=by["shape"],
            ),
            A.GaussNoise(std_range=(0.005, 0.02), p=0.15),
        ],
        seed=0,  # replaced for every sample
    )


class WholeStrips(Dataset):
    """Maps an image's position to ``(uint8 [1, H, W] strip, uint8 [H, W] bit map)``, unaltered."""

    def __init__(self, source: Strips, images: list[str]) -> None:
        self._source, self.images = source, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, (_, height, width) = self.images[index], self._source.shape
        strip, bits = self._source.grey(image), self._source.runs(image).bits(0, 0, height, width)
        return torch.from_numpy(np.array(strip))[None], torch.from_numpy(bits)


def planes(bits: torch.Tensor) -> torch.Tensor:
    """Masks ``bool [N, 4, H, W]`` of bit maps ``uint8 [N, H, W]``, made where the bits are (on the GPU)."""
    powers = torch.tensor([1 << (defect - 1) for defect in CLASSES], dtype=torch.uint8, device=bits.device)
    return (bits[:, None] & powers[None, :, None, None]) > 0
