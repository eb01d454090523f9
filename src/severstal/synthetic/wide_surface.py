"""Steel of the wide setting: the plain steel's grain, rolling marks and scale, more textures, light and cameras.

Levels, contrasts and sharpness vary beyond what real strips show (domain randomisation): a network that learned from
them depends less on any one of them.
"""

from __future__ import annotations

import cv2
import numpy as np

from severstal.synthetic import surface
from severstal.synthetic.noise import lognormal, noise, step
from severstal.synthetic.surface import HEIGHT, SHAPE, WIDTH, Bar
from severstal.synthetic.textures import add_textures

BAR_SHARE = 0.35


def draw_bar(rng: np.random.Generator) -> Bar:
    """A black bar at the left or right edge of a third of the strips."""
    return surface.draw_bar(rng, BAR_SHARE)


def draw_steel(rng: np.random.Generator) -> np.ndarray:
    """Grey levels ``float32 [256, 1600]`` of a strip without defects, bar and camera noise."""
    steel = 1 + rng.uniform(0.25, 1.5) * (surface.grain(rng) - 1)
    steel += rng.uniform(0.3, 1.6) * surface.rolling(rng)
    for _ in range(rng.choice(3, p=[0.5, 0.35, 0.15])):
        surface.add_scale(rng, steel)
    surface.add_streaks(rng, steel)
    if rng.random() < 0.3:
        surface.add_stains(rng, steel)
    surface.add_specks(rng, steel)
    add_textures(rng, steel)
    strip = _light(rng) * np.maximum(steel, 0.12)
    if rng.random() < 0.08:
        surface.add_spatter(rng, strip)
    return strip


def photograph(rng: np.random.Generator, strip: np.ndarray, bar: Bar) -> np.ndarray:
    """The picture of a strip, ``uint8 [256, 1600]``: the steel's edge, the bar, the camera's curve, focus and noise."""
    if bar != Bar():
        strip = surface.black_out(rng, _worn_edge(rng, strip, bar), bar)
    if rng.random() < 0.35:
        strip = cv2.GaussianBlur(strip, (0, 0), rng.uniform(0.4, 1.3))
    elif rng.random() < 0.2:
        strip = strip + rng.uniform(0.3, 1.0) * (strip - cv2.GaussianBlur(strip, (0, 0), 1.2))
    curve = 128 * (np.maximum(strip, 0) / 128) ** rng.uniform(0.8, 1.3)
    curve += rng.standard_normal(SHAPE, dtype=np.float32) * rng.uniform(0.5, 3)
    return np.clip(np.rint(curve), 0, 255).astype(np.uint8)


def _light(rng: np.random.Generator) -> np.ndarray:
    """Grey level of perfect steel: dark, usual or overexposed, with glare and shadow in some places."""
    light = surface.light(rng) * (lognormal(rng, 0.95, 0.25))
    chance = rng.random()
    if chance < 0.12:
        light *= rng.uniform(0.2, 0.5)
    elif chance < 0.16:
        light *= rng.uniform(1.5, 2.3)
    if rng.random() < 0.35:  # glare or shadow of a size between a hand and the whole strip
        y = np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)[:, None] - rng.uniform(-0.8, 0.8)
        x = np.linspace(-3, 3, WIDTH, dtype=np.float32)[None, :] - rng.uniform(-3, 3)
        spot = np.exp(-((y / rng.uniform(0.3, 1.2)) ** 2) - (x / rng.uniform(0.2, 1.5)) ** 2)
        light *= 1 + (rng.uniform(0.3, 1.5) if rng.random() < 0.7 else -rng.uniform(0.2, 0.7)) * spot
    return light.astype(np.float32)


def _worn_edge(rng: np.random.Generator, strip: np.ndarray, bar: Bar) -> np.ndarray:
    """Bands beside the steel's edge: rough bright grains, dark seams along the edge, dull or shining rims."""
    edge, sign = (bar.left, 1) if bar.left else (bar.right, -1)
    inside = sign * (np.arange(WIDTH, dtype=np.float32)[None, :] - edge)
    worn = strip.copy()
    for _ in range(rng.integers(0, 4)):
        start, width = rng.uniform(-5, 90), lognormal(rng, 22, 0.7)
        wander = rng.uniform(0, 4) * noise(rng, (HEIGHT, 1), 25, 1)
        near = step(width / 2 - np.abs(inside - start - width / 2 + wander), 0, rng.uniform(1, 6))
        grains = noise(rng, SHAPE, rng.uniform(0.8, 4), rng.uniform(0.8, 3))
        places = np.clip(0.6 + 0.6 * noise(rng, (HEIGHT, 1), 30, 1), 0, 1.5)
        worn *= 1 + near * (rng.uniform(-0.3, 0.6) + lognormal(rng, 0.15, 0.6) * places * np.maximum(grains, -1))
    for _ in range(rng.integers(0, 5)):  # seams that run along the edge; labellers leave them
        wander = rng.uniform(0, 1.5) * noise(rng, (HEIGHT, 1), 40, 1)
        line = np.exp(-(((inside - rng.uniform(2, 70) + wander) / rng.uniform(0.7, 2.5)) ** 2))
        broken = np.clip(0.6 + 0.7 * noise(rng, (HEIGHT, 1), 30, 1), 0, 1)
        worn *= 1 - rng.uniform(0.15, 0.7) * line * broken
    return np.maximum(worn, 0.05 * strip)
