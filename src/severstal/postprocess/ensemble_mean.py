"""The weighted mean of several networks' 8-bit answers, rounded back to 8 bits: what tuning and prediction both cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_map(maps: Sequence[np.ndarray], weights: Sequence[int] | None = None) -> np.ndarray:
    """Weighted mean of ``uint8`` arrays of one shape, rounded half up, ``uint8``.

    Args:
        weights: whole numbers, one per map, of which the sum is at most 256; by default all 1.
    """
    weights = [1] * len(maps) if weights is None else weights
    pairs = [(one, weight) for one, weight in zip(maps, weights, strict=True) if weight]
    if len(pairs) == 1:
        return pairs[0][0]
    divisor = sum(weight for _, weight in pairs)
    total = np.full(maps[0].shape, divisor // 2, dtype=np.uint16)
    for one, weight in pairs:
        total += one if weight == 1 else np.multiply(one, weight, dtype=np.uint16)
    total //= divisor
    return total.astype(np.uint8)
