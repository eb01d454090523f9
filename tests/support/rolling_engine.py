"""Strips of noise by name, and engines whose answers are known: the strip itself, rolled by some columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from severstal.inference.ensemble import Ensemble, LoadedMember

IMAGES = [f"{number:03d}.jpg" for number in range(23)]


def strip_of(image: str) -> np.ndarray:
    """The strip of this name, ``uint8 [16, 24]``."""
    return np.random.default_rng(int(image[:3])).integers(0, 256, (16, 24), dtype=np.uint8)


def rolling_engine(shift: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """An engine whose map of class ``c`` is the strip, rolled by ``shift + c - 1`` columns."""

    def call(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = np.stack([np.roll(strips, shift + c, axis=2) for c in range(4)], axis=1)
        return maps, maps.max(axis=(2, 3))

    return call


def ensemble_of(engines: list, weights: list[int]) -> Ensemble:
    """An ensemble of engines with these weights."""
    return Ensemble([LoadedMember(*pair) for pair in zip(engines, weights, strict=True)])
