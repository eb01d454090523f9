"""Textures of steel without defects that the wide setting adds: what real clean strips show and the plain ones lack.

Each function changes a surface in place (``float32 [256, 1600]``, reflectance around 1); :func:`add_textures` draws
which ones a strip has. None of them is a defect, so a network learns to stay silent on them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from severstal.synthetic import flakes
from severstal.synthetic.noise import blob, lognormal, noise, step
from severstal.synthetic.surface import HEIGHT, SHAPE, WIDTH

Texture = Callable[[np.random.Generator, np.ndarray], None]


def add_textures(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Add each texture with its probability, in random order."""
    for index in rng.permutation(len(TEXTURES)).tolist():
        texture, probability = TEXTURES[index]
        if rng.random() < probability:
            texture(rng, surface)


def tongues(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Flat matte patches with smooth outlines, stretched along the strip, darker or paler than the steel."""
    reach_x = rng.uniform(5, 22)
    field = noise(rng, SHAPE, reach_x * rng.uniform(3, 9), reach_x) + 0.25 * noise(rng, SHAPE, 9, 3)
    field += rng.uniform(0.5, 1.5) * noise(rng, (1, WIDTH), 1, rng.uniform(40, 250))
    patch = step(field, rng.uniform(0.3, 2.2), rng.uniform(0.03, 0.25))
    tone, coarseness = rng.uniform(0.06, 0.45) * rng.choice([-1, -1, 1]), rng.uniform(0.3, 1.4)
    surface += patch * (tone + (coarseness - 1) * (surface - 1))


def granules(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Fine blotches that cover a part of the strip densely, bright or dark, longer across the strip than along it."""
    size = rng.uniform(1.2, 5)
    field = noise(rng, SHAPE, size, size * rng.uniform(0.7, 2.2)) + 0.5 * noise(rng, SHAPE, 1.0, 1.3)
    field += rng.uniform(0.7, 1.6) * noise(rng, (1, WIDTH), 1, rng.uniform(60, 350))
    patch = step(field, rng.uniform(0.6, 2.4), rng.uniform(0.1, 0.8))
    surface += patch * rng.uniform(0.1, 0.75) * rng.choice([-0.6, 1, 1])


def bands(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Bands over the full height with clear or soft sides, straight or bent: passes of rolls, water, lighting."""
    profile = np.zeros(WIDTH, np.float32)
    columns = np.arange(WIDTH, dtype=np.float32)
    for _ in range(rng.integers(1, 6)):
        centre, half = rng.uniform(0, WIDTH), lognormal(rng, 35, 1.0) / 2
        soft = rng.uniform(1, max(2, half))
        profile += rng.uniform(0.04, 0.3) * rng.choice([-1, 1]) * step(half - np.abs(columns - centre), -soft, soft)
    if rng.random() < 0.4:  # several fine lines side by side
        near = np.exp(-(((columns - rng.uniform(0, WIDTH)) / rng.uniform(20, 120)) ** 2))
        profile += rng.uniform(0.05, 0.2) * near * noise(rng, (1, WIDTH), 1, rng.uniform(2, 7))[0]
    y = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    bend = rng.normal(0, 25) * y**2 + rng.normal(0, 6) * y + rng.uniform(0, 5) * noise(rng, (HEIGHT, 1), 60, 1)
    if rng.random() < 0.6:
        bend = np.zeros_like(bend)
    shade = np.interp(columns[None, :] + bend, columns, profile).astype(np.float32)
    surface += shade * np.clip(0.8 + 0.35 * noise(rng, SHAPE, 50, 40), 0, 1.5)


def dirt_columns(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Columns of dirt or scale 8 to 60 pixels wide: mottled blobs in a row, flat and dark, seldom pale."""
    for _ in range(rng.integers(1, 4)):
        width = int(lognormal(rng, 22, 0.5)) + 8
        left = int(rng.integers(0, WIDTH - width))
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        blobs = noise(rng, (HEIGHT, width), rng.uniform(4, 25), rng.uniform(2, 8))
        blobs += noise(rng, (HEIGHT, 1), rng.uniform(10, 60), 1)
        patch = step(blobs - 2.2 * x**2, rng.uniform(-1, 0.8), rng.uniform(0.05, 0.6))
        surface[:, left : left + width] *= 1 + rng.uniform(0.08, 0.5) * rng.choice([-1, -1, -1, 0.6]) * patch


def sparkle_columns(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Narrow columns of bright grains, too faint for a labeller."""
    for _ in range(rng.integers(1, 4)):
        width = int(rng.integers(6, 40))
        left = int(rng.integers(0, WIDTH - width))
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        grains = np.maximum(noise(rng, (HEIGHT, width), 1.2, 0.8) - rng.uniform(0.8, 1.6), 0)
        places = np.clip(0.5 + 0.8 * noise(rng, (HEIGHT, 1), 35, 1), 0, 2) * np.exp(-2.5 * x**2)
        surface[:, left : left + width] += rng.uniform(0.08, 0.3) * grains * places


def contours(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Thin dark outlines of dried drops and water stains."""
    for _ in range(rng.integers(1, 4)):
        high, wide = int(rng.uniform(30, 250)), int(np.clip(lognormal(rng, 90, 0.6), 25, 500))
        y, x = int(rng.integers(0, max(1, HEIGHT - high))), int(rng.integers(0, max(1, WIDTH - wide)))
        field = blob(rng, high, wide, 0.5) + 0.08 * noise(rng, (high, wide), 6, 6)
        rim = np.exp(-(((field - 0.15) * min(high, wide) / rng.uniform(4, 14)) ** 2))
        rim *= np.clip(0.6 + 0.7 * noise(rng, (high, wide), 15, 15), 0, 1.3)
        surface[y : y + high, x : x + wide] *= 1 - rng.uniform(0.08, 0.35) * rim.astype(np.float32)


def clouds(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Soft spots in all directions, left by uneven cooling."""
    surface += rng.uniform(0.03, 0.14) * noise(rng, SHAPE, rng.uniform(15, 60), rng.uniform(20, 90))


def crust(rng: np.random.Generator, surface: np.ndarray) -> None:
    """A large area of crumpled scale whose relief is weak."""
    high, wide = int(rng.uniform(90, HEIGHT)), int(rng.uniform(150, 700))
    y, x = int(rng.integers(0, HEIGHT - high + 1)), int(rng.integers(0, WIDTH - wide))
    inside = step(blob(rng, high, wide, 0.4), 0, 0.6)
    surface[y : y + high, x : x + wide] += rng.uniform(0.03, 0.13) * inside * flakes.relief(rng, (high, wide))


def dents(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Single dents and crumbs of 3 to 9 pixels with a bright and a dark side: smaller than what a labeller marks."""
    layer = np.zeros(SHAPE, np.float32)
    count = int(lognormal(rng, 10, 0.9))
    centre, spread = rng.uniform(0, WIDTH), rng.choice([60, 200, 2000])
    for _ in range(count):
        x = int(np.clip(rng.normal(centre, spread), 0, WIDTH - 1) if spread < 2000 else rng.integers(WIDTH))
        y, reach = int(rng.integers(HEIGHT)), int(rng.integers(1, 4))
        cv2.ellipse(layer, (x, y), (reach, int(rng.integers(1, 5))), rng.uniform(0, 180), 0, 360, -1.0, -1)
        if rng.random() < 0.5:
            cv2.circle(layer, (x + reach, y - reach), max(1, reach - 1), 1.4, -1)
    surface += rng.uniform(0.2, 0.55) * cv2.GaussianBlur(layer, (0, 0), 0.7)


def splashes(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Small groups of very bright crumbs and flakes; not a defect."""
    for _ in range(rng.integers(1, 5)):
        high, wide = int(rng.uniform(12, 50)), int(rng.uniform(12, 70))
        y, x = int(rng.integers(0, HEIGHT - high)), int(rng.integers(0, WIDTH - wide))
        grains = noise(rng, (high, wide), rng.uniform(0.8, 3), rng.uniform(0.8, 3))
        inside = blob(rng, high, wide, 0.4)
        shine = step(grains + inside, rng.uniform(1.7, 2.4), 0.3)
        surface[y : y + high, x : x + wide] += rng.uniform(0.4, 1.3) * shine


def hatching(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Many fine parallel lines at an angle, hardly visible: the tracks of brushes and rolls."""
    layer = np.zeros(SHAPE, np.float32)
    slope = rng.choice([rng.normal(0, 0.15), rng.normal(0, 2.0)])
    centre, spread = rng.uniform(0, WIDTH), rng.uniform(80, 500)
    for _ in range(int(rng.integers(10, 80))):
        x, y, length = rng.normal(centre, spread), rng.uniform(0, HEIGHT), lognormal(rng, 70, 0.6)
        run = length / np.hypot(1, slope)
        ends = np.array([[x, y], [x + run, y + run * slope]])
        line = [np.rint(ends * 16).astype(np.int32)]
        cv2.polylines(layer, line, False, float(rng.uniform(0.3, 1)), 1, cv2.LINE_AA, 4)
    surface += rng.uniform(0.05, 0.2) * rng.choice([-1, 1]) * layer


def tread_pattern(rng: np.random.Generator, surface: np.ndarray) -> None:
    """The raised pattern of chequered plate: a lattice of lenses or of crossing ridges, more or less sharp."""
    period_x, period_y = rng.uniform(70, 170), rng.uniform(60, 150)
    tall = np.zeros(SHAPE, np.float32)
    ridges, slope = rng.random() < 0.35, rng.uniform(0.3, 1.2)
    for row in range(-1, int(HEIGHT / period_y) + 2):
        for column in range(-1, int(WIDTH / period_x) + 2):
            x, y = (column + 0.5 * (row % 2)) * period_x, row * period_y
            if ridges:
                ends = [(x, y), (x + period_x / 2, y + period_y), (x, y), (x - period_x / 2, y + period_y)]
                for a, b in (ends[:2], ends[2:]):
                    cv2.line(tall, tuple(map(round, a)), tuple(map(round, b)), 1.0, 9)
            else:
                angle = np.degrees(np.arctan(slope)) * (1 if (row + column) % 2 else -1)
                cv2.ellipse(tall, (round(x), round(y)), (round(period_x / 5), 5), float(angle), 0, 360, 1.0, -1)
    raised = cv2.GaussianBlur(tall, (0, 0), rng.uniform(1.5, 8))
    light_x, light_y = rng.normal(0, 1, 2)
    shade = light_x * cv2.Sobel(raised, cv2.CV_32F, 1, 0) + light_y * cv2.Sobel(raised, cv2.CV_32F, 0, 1)
    shade = shade / (shade.std() + 1e-6) + rng.normal(0, 1) * raised
    surface += rng.uniform(0.05, 0.3) * shade * np.clip(1 + 0.7 * noise(rng, (1, WIDTH), 1, 400), 0.1, 2)


# Probabilities: about what real strips show, and more of what networks took for defects.
TEXTURES: tuple[tuple[Texture, float], ...] = (
    (tongues, 0.45),
    (granules, 0.3),
    (bands, 0.6),
    (dirt_columns, 0.3),
    (sparkle_columns, 0.25),
    (contours, 0.15),
    (clouds, 0.25),
    (crust, 0.08),
    (dents, 0.5),
    (splashes, 0.2),
    (hatching, 0.25),
    (tread_pattern, 0.05),
)
