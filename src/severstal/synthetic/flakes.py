"""A torn or rolled-in flake: its ragged outline and its crumpled relief."""

from __future__ import annotations

import cv2
import numpy as np

from severstal.synthetic.noise import blob, noise


def outline(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Field ``float32 [height, width]``, positive inside a ragged patch; some have one or two straight torn sides."""
    distance = blob(rng, height, width, 0.35) + 0.05 * noise(rng, (height, width), 7, 9)
    distance += 0.025 * noise(rng, (height, width), 2, 2)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    for _ in range(rng.choice(3, p=[0.4, 0.4, 0.2])):
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.minimum(distance, rng.uniform(0.3, 0.7) - x * np.cos(angle) - y * np.sin(angle))
    return distance.astype(np.float32)


def relief(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Brightness of crumpled metal under oblique light, about -3 to 8: creases, facets, highlights."""
    creases = -np.abs(noise(rng, shape, rng.uniform(9, 16), rng.uniform(10, 20)))
    tall = 4 * creases - 2.2 * np.abs(noise(rng, shape, 4.5, 6)) - 0.9 * np.abs(noise(rng, shape, 1.9, 2.6))
    tall = cv2.GaussianBlur(tall + 0.25 * noise(rng, shape, 0.9, 1.2), (0, 0), 0.6)
    light = rng.normal(0, 0.7)
    slope = light * cv2.Sobel(tall, cv2.CV_32F, 1, 0) + cv2.Sobel(tall, cv2.CV_32F, 0, 1)
    slope /= slope.std() + 1e-6
    bright_places = np.clip(0.8 + 0.6 * noise(rng, shape, 20, 25), 0.2, 2.2)
    return np.clip(slope, -1.6, 4) * bright_places
