"""Synthetic steel without defects: light, rolling texture, scale, streaks that are no defects, black bars.

The steel moves along y, so rolling marks and scale are stretched along y; the lighting differs along x. The numbers
were chosen to match real strips: mean grey levels 29 to 152 (median 100), standard deviation of the fine texture 6 to
20 % of the local grey level, correlation of neighbouring pixels .55 to .8, bars of grey level 1 to 4 whose edge is one
to three pixels wide and next to which the steel brightens over some 40 columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from severstal.synthetic.noise import blob, lognormal, noise, step

HEIGHT, WIDTH = 256, 1600
SHAPE = (HEIGHT, WIDTH)
BAR_SHARE = 0.2


@dataclass(frozen=True)
class Bar:
    """The steel is in columns ``left`` to ``right`` (exclusive); the other columns are black."""

    left: int = 0
    right: int = WIDTH


def draw_bar(rng: np.random.Generator, share: float = BAR_SHARE) -> Bar:
    """A black bar, 60 to 1,400 columns wide, at the left or right edge of a share of the strips."""
    if rng.random() > share:
        return Bar()
    width = int(np.clip(lognormal(rng, 330, 1.0), 60, 1400))
    return Bar(left=width) if rng.random() < 0.5 else Bar(right=WIDTH - width)


def draw_steel(rng: np.random.Generator) -> np.ndarray:
    """Grey levels ``float32 [256, 1600]`` of a strip without defects, bar and camera noise."""
    surface = grain(rng)
    surface += rolling(rng)
    for _ in range(rng.choice(4, p=[0.3, 0.35, 0.25, 0.1])):
        add_scale(rng, surface)
    add_streaks(rng, surface)
    if rng.random() < 0.3:
        add_stains(rng, surface)
    add_specks(rng, surface)
    strip = light(rng) * np.maximum(surface, 0.12)
    if rng.random() < 0.05:
        add_spatter(rng, strip)
    return strip


def photograph(rng: np.random.Generator, strip: np.ndarray, bar: Bar) -> np.ndarray:
    """The picture of a strip, ``uint8 [256, 1600]``: black bar, camera noise and clipping are added."""
    if bar != Bar():
        strip = black_out(rng, strip, bar)
    strip = strip + rng.standard_normal(SHAPE, dtype=np.float32) * 0.9
    return np.clip(np.rint(strip), 0, 255).astype(np.uint8)


def light(rng: np.random.Generator) -> np.ndarray:
    """Grey level of perfect steel: a level per strip, darker ends, variation along x, a slope along y."""
    level = np.clip(lognormal(rng, 116, 0.17), 60, 170) if rng.random() > 0.07 else rng.uniform(28, 60)
    y = np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    centre = rng.normal(0, 0.25)
    across = 1 - rng.uniform(0.15, 0.5) * (x - centre) ** 2
    across = across + rng.uniform(0.02, 0.12) * noise(rng, (1, WIDTH), 1, 250)
    if rng.random() < 0.35:  # the edge of a camera's picture or of a rolling pass
        across = across * (1 + rng.normal(0, 0.1) * step(x, rng.uniform(-0.9, 0.9), 0.004))
    slope = rng.normal(0.45, 0.4)
    along = 1 + slope * y + rng.uniform(0, 0.06) * noise(rng, SHAPE, 120, 200)
    return (level * np.maximum(across, 0.15) * np.maximum(along, 0.2)).astype(np.float32)


def grain(rng: np.random.Generator) -> np.ndarray:
    """Reflectance around 1: fine isotropic grain, rougher in some places, with a few bright grains."""
    fine = noise(rng, SHAPE, 0.45, 0.58)
    coarse = noise(rng, SHAPE, 1.2, 1.9)
    size = lognormal(rng, 0.066, 0.3)
    rough = 1 + 0.3 * noise(rng, SHAPE, 90, 60)
    grain = size * (0.85 * fine + 0.45 * coarse) * np.clip(rough, 0.3, 2)
    sparkle = np.maximum(0.8 * fine + 0.6 * coarse - rng.uniform(1.6, 2.5), 0) * rng.uniform(0.15, 0.75)
    where = step(noise(rng, SHAPE, 70, 40), rng.uniform(-1, 1), 1.2)
    return 1 + grain + sparkle * where


def rolling(rng: np.random.Generator) -> np.ndarray:
    """Marks of the mill: stripes along the strip at three widths, and chatter across it."""
    size = lognormal(rng, 0.016, 0.6)
    marks = 0.8 * size * noise(rng, SHAPE, 40, 0.7) + 0.8 * size * noise(rng, SHAPE, 150, 5)
    marks += 1.5 * size * noise(rng, SHAPE, 250, 30)
    if rng.random() < 0.6:
        marks += _chatter(rng)
    return marks


def _chatter(rng: np.random.Generator) -> np.ndarray:
    """Fine, slightly slanting ripples across the strip, strong in some places and absent in others."""
    margin = 64
    tall = (HEIGHT + 2 * margin, WIDTH)
    reach = rng.uniform(1.0, 2.2)
    ripple = noise(rng, tall, reach, rng.uniform(8, 40))
    ripple -= cv2.blur(ripple, (1, int(6 * reach)))
    bend = noise(rng, (1, WIDTH), 1, 300)[0] * 10 + np.linspace(-1, 1, WIDTH) * rng.normal(0, 14)
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None] + margin + np.clip(bend, -50, 50)[None, :]
    columns = np.tile(np.arange(WIDTH, dtype=np.float32), (HEIGHT, 1))
    ripple = cv2.remap(ripple, columns, rows.astype(np.float32), cv2.INTER_LINEAR)
    return ripple * lognormal(rng, 0.042, 0.5) * np.clip(0.5 + 0.6 * noise(rng, SHAPE, 80, 200), 0, 2)


def add_scale(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Oxide scale: ragged patches stretched along the strip, paler or darker, finer or coarser."""
    stretch = rng.uniform(1.5, 7)
    ragged = 0.8 * noise(rng, SHAPE, 5 * stretch, 6) + 0.7 * noise(rng, SHAPE, 1.3 * stretch, 2.2)
    ragged += rng.uniform(0.1, 0.5) * noise(rng, SHAPE, 1.0, 0.9)
    places = 1.3 * noise(rng, (1, WIDTH), 1, rng.uniform(40, 160)) + 0.5 * noise(rng, SHAPE, 90, 90)
    patch = step(ragged + places, rng.uniform(1.4, 3.2), rng.uniform(0.2, 1.2))
    tone = rng.uniform(0.08, 0.3) * (1 if rng.random() < 0.4 else -1)
    coarseness = rng.uniform(0.3, 1.9)
    surface += patch * (tone + (coarseness - 1) * (surface - 1))
    if rng.random() < 0.5:  # a patch glitters, mostly at its rim
        rim = patch * (1.15 - patch) * 3.5 * np.maximum(noise(rng, SHAPE, 0.6, 1.1) - 1.2, 0)
        surface += rng.uniform(0.2, 1.0) * rim


def add_streaks(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Thin faint lines and soft bands along the strip, which labellers do not mark."""
    for _ in range(rng.poisson(4)):
        width, depth = rng.uniform(0.5, 1.3), rng.uniform(0.04, 0.17) * rng.choice([-1, -1, -1, 1])
        _streak(rng, surface, width, depth, length=lognormal(rng, 90, 0.8))
    for _ in range(rng.poisson(0.8)):
        _streak(rng, surface, rng.uniform(6, 22), rng.uniform(0.04, 0.2) * rng.choice([-1, 1]), length=500)


def _streak(rng: np.random.Generator, surface: np.ndarray, width: float, depth: float, length: float) -> None:
    x, y = rng.uniform(0, WIDTH), rng.uniform(-40, HEIGHT)
    left, right = max(0, int(x - 4 * width - 3)), min(WIDTH, int(x + 4 * width + 4))
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    wander = noise(rng, (HEIGHT, 1), 60, 1) * width * 0.4
    profile = np.exp(-(((np.arange(left, right)[None, :] - x - wander) / width) ** 2) / 2)
    fade = np.clip((rows - y) / 12, 0, 1) * np.clip((y + length - rows) / 12, 0, 1)
    fade = fade * np.clip(0.8 + 0.4 * noise(rng, (HEIGHT, right - left), 8, 1), 0, 2)
    surface[:, left:right] += depth * profile * fade


def add_stains(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Large dim shapes with one clear rim, left by water or rolling oil."""
    for _ in range(rng.integers(1, 4)):
        high, wide = int(rng.uniform(80, 256)), int(np.clip(lognormal(rng, 160, 0.6), 40, 700))
        y, x = int(rng.integers(0, max(1, HEIGHT - high))), int(rng.integers(0, max(1, WIDTH - wide)))
        shape = step(blob(rng, high, wide, 0.5) + 0.15 * noise(rng, (high, wide), 25, 9), 0, rng.uniform(0.1, 0.8))
        view = surface[y : y + high, x : x + wide]
        view += rng.normal(0, 0.07) * shape[: view.shape[0], : view.shape[1]]


def add_specks(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Dust, pores and flakes of one to three pixels, scattered and in clouds."""
    count = int(lognormal(rng, 60, 0.8))
    x, y = rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count)
    if rng.random() < 0.5:
        cloud = rng.integers(0, count, count // 2)
        x[: cloud.size] = np.clip(x[cloud[0]] + rng.normal(0, 25, cloud.size), 0, WIDTH - 1)
        y[: cloud.size] = np.clip(y[cloud[0]] + rng.normal(0, 70, cloud.size), 0, HEIGHT - 1)
    bright = rng.random(count) < 0.35
    layer = np.zeros(SHAPE, np.float32)
    for column, row, up in zip(x.tolist(), y.tolist(), bright.tolist(), strict=True):
        tall = int(rng.integers(1, 4))
        layer[row : row + tall, column : column + int(rng.integers(1, 3))] = 1.1 if up else -0.6
    surface += cv2.GaussianBlur(layer, (0, 0), 0.6)


def add_spatter(rng: np.random.Generator, strip: np.ndarray) -> None:
    """Drops of oil or water in one to three columns, so bright that the camera clips; not a defect."""
    for centre in rng.uniform(100, WIDTH - 100, rng.integers(1, 4)):
        drops = noise(rng, (HEIGHT, 160), 5, 4) + 0.8 * noise(rng, (HEIGHT, 160), 14, 3)
        reach = np.abs(np.arange(160, dtype=np.float32) - 80)[None, :] / rng.uniform(6, 22)
        left = int(np.clip(centre - 80, 0, WIDTH - 160))
        shine = step(drops - reach, rng.uniform(0.7, 1.6), 0.2)
        strip[:, left : left + 160] += shine * 200


def black_out(rng: np.random.Generator, strip: np.ndarray, bar: Bar) -> np.ndarray:
    """Blacken the columns beyond the steel's edge; the last columns of steel curve away from the light."""
    edge, sign = (bar.left, 1) if bar.left else (bar.right, -1)
    tilt = np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)[:, None] * rng.normal(0, 2.5)
    wobble = 0.3 * noise(rng, (HEIGHT, 1), 12, 1)
    inside = sign * (np.arange(WIDTH, dtype=np.float32)[None, :] - edge - tilt - wobble)
    steel_share = step(inside, 0, rng.uniform(1, 3.5))
    curve = 1 - rng.uniform(0.3, 0.75) * np.exp(-np.maximum(inside, 0) / rng.uniform(12, 45))
    if rng.random() < 0.6:  # the trimmed side of the steel is a narrow band
        curve = curve * (1 + rng.normal(0, 0.3) * (1 - step(inside, rng.uniform(6, 30), 2)))
    dark = rng.uniform(0.6, 3.5) if rng.random() > 0.1 else rng.uniform(5, 13)
    return dark + strip * np.maximum(curve, 0.1) * steel_share
