"""Data sets: augmented crops to train on, and whole strips to validate on.

Both give the masks of a sample as one bit map ``uint8 [h, w]``: bit ``c - 1`` is set where class ``c`` is. That is a
quarter of what is sent from the loader processes and to the GPU; :func:`unpack_masks` undoes it there.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch.utils.data import Dataset

from severstal.data.labels import CLASSES
from severstal.data.memory_map import TrainingStrips
from severstal.recipe import Recipe
from severstal.training.augmentation import build_augmentation
from severstal.training.copy_paste import CopyPaste
from severstal.training.sampling import CLEAN, CropRequest

SIDE_STEP = 64  # px: the stride of an encoder, 32, at half size: the learner pads crops of other sides

Item = tuple[torch.Tensor, torch.Tensor]


class CropDataset(Dataset[Item]):
    """Maps a :class:`CropRequest` to a crop ``uint8 [1, h, w]`` and its bit map ``uint8 [h, w]``."""

    def __init__(self, source: TrainingStrips, recipe: Recipe) -> None:
        self._source, self._recipe = source, recipe
        _, height, width = source.shape
        self._height, self._width = min(recipe.crop_height, height), min(recipe.crop_width, width)
        if recipe.augment == "strong":  # it transposes: crops stay square where strips are lower than the crop
            self._height = self._width = min(self._height, self._width)
        self._augment = build_augmentation(recipe.augment)
        self._paste = CopyPaste(source, recipe.copy_paste_class)

    def __getitem__(self, request: CropRequest) -> Item:
        rng = np.random.default_rng(request.seed)
        height, width = crop_side(self._height, request.scale), crop_side(self._width, request.scale)
        top, left = self._position(request, rng, height, width)
        grey = self._source.grey(request.image)[top : top + height, left : left + width]
        bit_map = self._source.masks(request.image).bit_map(top, left, height, width)
        if request.donor is not None:
            grey, bit_map = self._paste(grey, bit_map, request.donor, rng)
        self._augment.set_random_seed(request.seed)
        augmented = self._augment(image=np.array(grey), mask=bit_map)
        return (
            torch.from_numpy(np.ascontiguousarray(augmented["image"]))[None],
            torch.from_numpy(np.ascontiguousarray(augmented["mask"])),
        )

    def _position(self, request: CropRequest, rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
        """Top and left of a crop that, with the recipe's probability, holds a pixel of the request's class.

        Any place of the strip will do, also the black bar beside the steel: a network that never saw it may take it for
        a defect (a fold of NEU-strips had .48 instead of .9 in class 2, whose false positives were the bars).
        """
        _, strip_height, strip_width = self._source.shape
        top, left = rng.integers(strip_height - height + 1), rng.integers(strip_width - width + 1)
        if request.defect != CLEAN and rng.random() < self._recipe.foreground_crop_share:
            masks = self._source.masks(request.image)
            y, x = masks.pixel(request.defect, int(rng.integers(masks.area(request.defect))))
            top = rng.integers(max(y - height + 1, 0), min(y, strip_height - height) + 1)
            left = rng.integers(max(x - width + 1, 0), min(x, strip_width - width) + 1)
        return int(top), int(left)


class StripDataset(Dataset[Item]):
    """Maps a position in ``images`` to a whole strip ``uint8 [1, H, W]`` and its bit map ``uint8 [H, W]``."""

    def __init__(self, source: TrainingStrips, images: list[str]) -> None:
        self._source, self.images = source, images

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the strips."""
        return self._source.shape[1:]

    def __getitem__(self, index: int) -> Item:
        image, (height, width) = self.images[index], self.shape
        strip, bit_map = self._source.grey(image), self._source.masks(image).bit_map(0, 0, height, width)
        return torch.from_numpy(np.array(strip))[None], torch.from_numpy(bit_map)


def crop_side(full: int, scale: float) -> int:
    """Pixels of a scaled side of a crop, rounded to a multiple of ``SIDE_STEP``, which is also the least."""
    return full if scale == 1 else min(full, max(SIDE_STEP, round(full * scale / SIDE_STEP) * SIDE_STEP))


def unpack_masks(bit_maps: torch.Tensor) -> torch.Tensor:
    """Masks ``bool [N, 4, H, W]`` of bit maps ``uint8 [N, H, W]``, on the same device."""
    return (bit_maps[:, None] & _bits_of_classes(bit_maps.device)) > 0


@cache
def _bits_of_classes(device: torch.device) -> torch.Tensor:
    """The bit of each class, ``uint8 [1, 4, 1, 1]``; copied to a GPU once, because each such copy waits for it."""
    with torch.inference_mode(False):
        bits = torch.tensor([1 << (defect - 1) for defect in CLASSES], dtype=torch.uint8, device=device)
    return bits[None, :, None, None]
