"""Random fields of synthetic steel: noise of a given correlation length, ragged patches, soft steps.

All are float32 arrays that depend on the generator's state alone.
"""

from __future__ import annotations

import cv2
import numpy as np


def noise(rng: np.random.Generator, shape: tuple[int, int], reach_y: float, reach_x: float) -> np.ndarray:
    """Gaussian noise ``float32 [H, W]``, mean 0, standard deviation 1, smooth over about ``reach`` pixels.

    A reach of two pixels or more is drawn on a coarse grid and enlarged: ten times as fast as a wide blur.
    """
    steps = [max(1, int(reach)) for reach in (reach_y, reach_x)]
    grid = [side // step + 4 for side, step in zip(shape, steps, strict=True)]
    field: np.ndarray = rng.standard_normal(grid, dtype=np.float32)
    # On a coarse grid the enlargement smooths over one cell.
    soft_y, soft_x = (reach if reach < 2 else 0.7 for reach in (reach_y, reach_x))
    field = cv2.GaussianBlur(field, (0, 0), sigmaX=max(soft_x, 0.1), sigmaY=max(soft_y, 0.1))
    if steps != [1, 1]:
        size = (grid[1] * steps[1], grid[0] * steps[0])
        field = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)
    y, x = (int(rng.integers(2 * step, 3 * step)) for step in steps)
    field = field[y : y + shape[0], x : x + shape[1]]
    return (field - field.mean()) / (field.std() + 1e-6)


def step(values: np.ndarray, threshold: float | np.ndarray, softness: float) -> np.ndarray:
    """0 below ``threshold``, 1 above ``threshold + softness``, linear between them; float32."""
    return np.clip((values - threshold) / softness, 0, 1).astype(np.float32)


def lognormal(rng: np.random.Generator, median: float, spread: float) -> float:
    """A log-normal value; ``spread`` is the standard deviation of its natural logarithm."""
    return float(median * np.exp(spread * rng.standard_normal()))


def blob(rng: np.random.Generator, height: int, width: int, ragged: float = 0.25) -> np.ndarray:
    """Field ``float32 [height, width]`` that is positive inside one irregular patch that fills the box.

    It is 1 near the centre, 0 on the outline and negative outside.

    Args:
        ragged: how far the outline deviates from an ellipse.
    """
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    angle = np.arctan2(y, x)
    outline = np.ones_like(angle)
    for wave in range(1, 7):
        size = ragged * rng.standard_normal() / wave**0.9
        outline += np.float32(size) * np.cos(wave * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    return 1 - np.sqrt(y * y + x * x) / np.clip(outline * 0.9, 0.25, 1.0)
