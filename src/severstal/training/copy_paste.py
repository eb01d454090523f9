"""Defects of other strips pasted into a crop: a rare class is seen on more steel than it occurred on."""

from __future__ import annotations

import cv2
import numpy as np

from severstal.data.memory_map import Strips

FEATHER = 3  # px: standard deviation of the soft border
SIDE = 256  # px: the part of the donor around one of its defect's pixels that is looked at


class CopyPaste:
    """Pastes what a donor strip shows of one class."""

    def __init__(self, source: Strips, defect: int) -> None:
        self._source, self._defect = source, defect

    def __call__(
        self, grey: np.ndarray, bits: np.ndarray, donor: str, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The crop and its bit map with a defect of the donor, at a random place.

        Steel around the defect is brought to the brightness of the place, and the border is soft, so that the network
        learns the defect and not the seam.

        Args:
            grey: ``uint8 [h, w]``.
            bits: ``uint8 [h, w]``, bit ``c - 1`` for class ``c``.
            donor: a strip that has the class.
        """
        patch, mask = self._cut_out(donor, *grey.shape, rng)
        top, left = (int(rng.integers(whole - part + 1)) for whole, part in zip(grey.shape, mask.shape, strict=True))
        place = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
        if not grey[place].any():  # beyond the strip's edge there is no steel to paste on
            return grey, bits
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), FEATHER)
        shift = _around(grey[place], mask) - _around(patch, mask)
        mixed = grey[place] * (1 - soft) + np.clip(patch + shift, 0, 255) * soft
        grey, bits = np.array(grey), np.array(bits)
        grey[place] = mixed.round().astype(np.uint8)
        bits[place][mask] = 1 << (self._defect - 1)  # what was there before is covered
        return grey, bits

    def _cut_out(self, donor: str, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A part of the donor, ``float32``, and its mask, flipped at random, no larger than the crop."""
        _, whole_height, whole_width = self._source.shape
        runs = self._source.runs(donor)
        y, x = runs.pixel(self._defect, int(rng.integers(runs.count(self._defect))))
        size = min(SIDE, height, whole_height), min(SIDE, width, whole_width)
        top = int(np.clip(y - size[0] // 2, 0, whole_height - size[0]))
        left = int(np.clip(x - size[1] // 2, 0, whole_width - size[1]))
        grey = self._source.grey(donor)[top : top + size[0], left : left + size[1]]
        mask = runs.bits(top, left, *size) & (1 << (self._defect - 1)) > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        near = np.s_[
            max(rows[0] - 3 * FEATHER, 0) : rows[-1] + 1 + 3 * FEATHER,
            max(columns[0] - 3 * FEATHER, 0) : columns[-1] + 1 + 3 * FEATHER,
        ]
        tta = np.s_[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        return grey[near][tta].astype(np.float32), np.ascontiguousarray(mask[near][tta])


def _around(grey: np.ndarray, mask: np.ndarray) -> float:
    """Mean brightness outside the defect, or of everything where it fills the part."""
    outside = grey[~mask]
    return float(outside.mean() if outside.size else grey.mean())
