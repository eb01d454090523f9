"""Copy-paste augmentation: defects of other strips are pasted into crops, to show a rare class on more steel."""

from __future__ import annotations

import cv2
import numpy as np

from severstal.data.memory_map import TrainingStrips

FEATHER = 3  # px: standard deviation of the blurred border
MAX_SIDE = 256  # px: of the part of the donor, around one pixel of its defect, that is pasted


class CopyPaste:
    """Pastes defects of one class."""

    def __init__(self, source: TrainingStrips, defect: int) -> None:
        self._source, self._defect = source, defect

    def __call__(
        self, grey: np.ndarray, bit_map: np.ndarray, donor: str, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The crop and its bit map with a defect of the donor at a random position, as new arrays.

        The patch is brought to the brightness of its surroundings and its border is blended, so that the network
        learns the defect and not the seam. A position on black, beyond the edge of the steel, leaves the crop as it is.

        Args:
            grey: ``uint8 [h, w]``.
            bit_map: ``uint8 [h, w]``, bit ``c - 1`` for class ``c``.
            donor: a strip that has the class.
        """
        patch, mask = self._cut_out(donor, grey.shape[0], grey.shape[1], rng)
        top, left = (int(rng.integers(side - part + 1)) for side, part in zip(grey.shape, mask.shape, strict=True))
        place = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
        if not grey[place].any():
            return grey, bit_map
        alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), FEATHER)
        shift = _background(grey[place], mask) - _background(patch, mask)
        mixed = grey[place] * (1 - alpha) + np.clip(patch + shift, 0, 255) * alpha
        grey, bit_map = np.array(grey), np.array(bit_map)
        grey[place] = mixed.round().astype(np.uint8)
        bit_map[place][mask] = 1 << (self._defect - 1)  # the patch covers defects of other classes
        return grey, bit_map

    def _cut_out(self, donor: str, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A part of the donor, ``float32``, and its mask, flipped at random, no larger than the crop."""
        _, strip_height, strip_width = self._source.shape
        masks = self._source.masks(donor)
        y, x = masks.pixel(self._defect, int(rng.integers(masks.area(self._defect))))
        size = min(MAX_SIDE, height, strip_height), min(MAX_SIDE, width, strip_width)
        top = int(np.clip(y - size[0] // 2, 0, strip_height - size[0]))
        left = int(np.clip(x - size[1] // 2, 0, strip_width - size[1]))
        grey = self._source.grey(donor)[top : top + size[0], left : left + size[1]]
        mask = masks.bit_map(top, left, *size) & (1 << (self._defect - 1)) > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        around_defect = np.s_[
            max(rows[0] - 3 * FEATHER, 0) : rows[-1] + 1 + 3 * FEATHER,
            max(columns[0] - 3 * FEATHER, 0) : columns[-1] + 1 + 3 * FEATHER,
        ]
        flip = np.s_[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        return grey[around_defect][flip].astype(np.float32), np.ascontiguousarray(mask[around_defect][flip])


def _background(grey: np.ndarray, mask: np.ndarray) -> float:
    """Mean brightness outside the defect, or of all pixels if the defect fills the part."""
    outside = grey[~mask]
    return float(outside.mean() if outside.size else grey.mean())
