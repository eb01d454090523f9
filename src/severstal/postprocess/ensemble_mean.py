"""The weighted mean of several networks' 8-bit outputs, rounded back to 8 bits; tuning and prediction both use it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_map(maps: Sequence[np.ndarray], weights: Sequence[int] | None = None) -> np.ndarray:
    """Weighted mean of ``uint8`` arrays of one shape, rounded half up, ``uint8``.

    Args:
        weights: whole numbers, one per map, with a sum of at most 256; by default all 1.
    """
    weights = [1] * len(maps) if weights is None else weights
    pairs = [(array, weight) for array, weight in zip(maps, weights, strict=True) if weight]
    if len(pairs) == 1:
        return pairs[0][0]
    divisor = sum(weight for _, weight in pairs)
    total = np.full(maps[0].shape, divisor // 2, dtype=np.uint16)
    for array, weight in pairs:
        total += array if weight == 1 else np.multiply(array, weight, dtype=np.uint16)
    total //= divisor
    return total.astype(np.uint8)
