"""The mean of several networks' 8-bit maps, rounded back to 8 bits: what tuning and prediction both cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_map(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of ``uint8`` arrays of one shape, rounded half up, ``uint8``."""
    if len(maps) == 1:
        return maps[0]
    total = np.full(maps[0].shape, len(maps) // 2, dtype=np.uint16)
    for one in maps:
        total += one
    return (total // len(maps)).astype(np.uint8)
