"""The appearance of synthetic defects: pits, slivers, streaks and scratches, rough patches.

:func:`draw_defect` draws one defect into a strip and returns the polygon that a labeller would draw around it. The
picture and the polygon come from different generators, so one strip can be labelled twice.
"""

from __future__ import annotations

import cv2
import numpy as np

from severstal.synthetic import flakes, polygons
from severstal.synthetic.noise import noise, step
from severstal.synthetic.placement import Box, Defect
from severstal.synthetic.surface import HEIGHT, WIDTH


def draw_defect(
    rng: np.random.Generator,
    labeller: np.random.Generator,
    strip: np.ndarray,
    defect: Defect,
    visibility: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draw a defect into ``strip`` (``float32 [256, 1600]`` of grey levels, changed in place).

    Args:
        visibility: least and greatest factor of the defect's contrast; None leaves it as it is drawn.

    Returns:
        Corners ``int32 [n, 2]`` (x, y) of the labeller's polygon.
    """
    box = defect.box
    patch = _window(strip, box)
    level = float(np.median(patch))
    drawn, shape = LOOKS[defect.kind.look](rng, patch.copy(), max(level, 12.0))
    if visibility:
        drawn = patch + np.float32(rng.uniform(*visibility)) * (drawn - patch)
    _put_back(strip, box, drawn)
    if shape is None:
        return polygons.fill_box(labeller, box, defect.kind.vertices)
    return polygons.surround(labeller, shape, box)


def _window(strip: np.ndarray, box: Box) -> np.ndarray:
    """A copy of the box's pixels, mirrored beyond the strip's edge."""
    rows = np.abs(np.arange(box.y, box.y + box.height))
    columns = np.abs(np.arange(box.x, box.x + box.width))
    rows = np.where(rows < HEIGHT, rows, 2 * (HEIGHT - 1) - rows)
    columns = np.where(columns < WIDTH, columns, 2 * (WIDTH - 1) - columns)
    return strip[np.ix_(rows, columns)]


def _put_back(strip: np.ndarray, box: Box, drawn: np.ndarray) -> None:
    """Write the part of ``drawn`` that is inside the strip."""
    top, left = max(box.y, 0), max(box.x, 0)
    bottom, right = min(box.y + box.height, HEIGHT), min(box.x + box.width, WIDTH)
    strip[top:bottom, left:right] = drawn[top - box.y : bottom - box.y, left - box.x : right - box.x]


def _contrast(rng: np.random.Generator) -> float:
    """How clearly a defect is visible, 0.45 to 1: about one in six is faint."""
    return float(rng.uniform(0.45, 0.65) if rng.random() < 0.17 else rng.uniform(0.7, 1.0))


def _grid(patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of rows ``[h, 1]`` and columns ``[1, w]``, from -1 to 1 over the box."""
    y = np.linspace(-1, 1, patch.shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, patch.shape[1], dtype=np.float32)[None, :]
    return y, x


def _pit(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, None]:
    """A dark hole with glinting edges, stretched along the strip."""
    y, x = _grid(patch)
    shape, clear = patch.shape, _contrast(rng)
    centre_y, centre_x = rng.uniform(-0.25, 0.25), rng.uniform(-0.2, 0.2)
    reach = ((y - centre_y) / 0.85) ** 2 + ((x - centre_x) / 0.75) ** 2
    ragged = reach + 0.35 * noise(rng, shape, 3, 1.5)
    hole = 1 - step(ragged, 0.25, 0.5)
    patch *= 1 - clear * rng.uniform(0.45, 0.75) * hole
    inside = np.exp(-1.5 * reach)
    glints = np.maximum(noise(rng, shape, 0.7, 1.1) - rng.uniform(1.0, 1.7), 0) * inside
    patch += clear * level * rng.uniform(1.2, 2.6) * glints
    if rng.random() < 0.6:  # the upper or lower lip catches the light
        above = y - centre_y - rng.choice([-0.45, 0.45])
        lip = np.exp(-((above / 0.1) ** 2) - ((x - centre_x) / 0.35) ** 2)
        lip *= step(noise(rng, shape, 0.8, 1.6), -0.3, 0.8)
        patch += clear * rng.uniform(60, 170) * lip
    return patch, None


def _sliver(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, None]:
    """A seam along the strip: one or two wandering dark hairlines with a pale flank, broken in places."""
    height, width = patch.shape
    y, x = _grid(patch)
    clear = _contrast(rng)
    lean = rng.uniform(-0.2, 0.2)
    ends = np.clip((1 - np.abs(y)) / 0.15, 0, 1)
    for number in range(rng.integers(1, 3)):
        middle = lean * y + rng.uniform(-0.15, 0.15) + 0.16 * noise(rng, (height, 1), 22, 1) + 0.25 * number
        broken = step(noise(rng, (height, 1), 14, 1), -1.1, 0.9) * ends
        line = np.exp(-(((x - middle) * width / rng.uniform(2.2, 4.0)) ** 2))
        flank = np.exp(-(((x - middle) * width / 5 - 1.3) ** 2))
        patch *= 1 - clear * rng.uniform(0.45, 0.7) * line * broken
        patch += clear * level * rng.uniform(0.2, 0.6) * flank * broken
        core = np.exp(-(((x - middle) * width / 7) ** 2)) * broken
        patch += clear * level * 0.9 * np.maximum(noise(rng, patch.shape, 1.4, 0.7) - 1, 0) * core
    return patch, None


def _streak(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, None]:
    """One to three straight lines along the strip, most of them dark, well inside the box."""
    height, width = patch.shape
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    clear = _contrast(rng)
    lean = rng.uniform(-0.05, 0.05) * width
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])):
        thick = float(np.clip(width * rng.uniform(0.04, 0.15), 1.1, 7))
        middle = width * rng.uniform(0.32, 0.68) + lean * (rows / height - 0.5)
        middle = middle + 0.5 * noise(rng, (height, 1), 30, 1) + 0.25 * noise(rng, (height, 1), 1, 1)
        line = np.exp(-(np.abs((columns - middle) / thick) ** 3))
        fade = _fade(rng, height) * np.clip(0.8 + 0.4 * noise(rng, patch.shape, 18, 0.6), 0, 1.4)
        depth = rng.uniform(0.5, 0.88) * clear
        if rng.random() < 0.78:
            patch *= 1 - np.clip(depth * line * fade, 0, 0.9)
            if rng.random() < 0.35:
                shine = np.exp(-(((columns - middle) / thick + rng.choice([-1.2, 1.2])) ** 2) * 3)
                patch += level * 0.4 * clear * shine * fade
        else:
            patch += level * rng.uniform(0.5, 1.3) * clear * line * fade
    return patch, None


def _fade(rng: np.random.Generator, height: int) -> np.ndarray:
    """1 over most of the height, tapering to 0 at either end."""
    rows = np.arange(height, dtype=np.float32)[:, None]
    if height > HEIGHT:
        return np.ones_like(rows)
    sharp = rng.uniform(3, 0.35 * height + 4, 2)
    return np.clip((rows - 0.06 * height) / sharp[0], 0, 1) * np.clip((0.94 * height - rows) / sharp[1], 0, 1)


def _field(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, None]:
    """Many torn dark streaks side by side, glittering along their edges."""
    shape, clear = patch.shape, _contrast(rng)
    y, x = _grid(patch)
    inside = np.clip((1 - np.abs(x)) / 0.12, 0, 1) * np.clip((1.05 - np.abs(y)) / 0.1, 0, 1)
    lines = noise(rng, shape, 45, rng.uniform(1.2, 2.5)) + 0.5 * noise(rng, shape, 8, 1.2)
    lines += 0.7 * noise(rng, shape, 50, 14)
    torn = step(lines, rng.uniform(1.1, 1.7), 0.35) * inside
    patch *= 1 - clear * rng.uniform(0.45, 0.7) * torn
    edge = torn * (1 - torn) * 4 + 0.3 * torn
    patch += clear * level * 0.9 * edge * np.maximum(noise(rng, shape, 1.0, 0.7) - 0.6, 0)
    return patch, None


def _scratch(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Bright gouges across the strip, straight or slightly bent, with a dark flank."""
    height, width = patch.shape
    clear, rise = _contrast(rng), rng.choice([-1, 1]) * rng.uniform(0.2, 0.8)
    bright, dark = np.zeros_like(patch), np.zeros_like(patch)
    for _ in range(rng.integers(2, 8)):
        x = np.linspace(rng.uniform(0.05, 0.35), rng.uniform(0.6, 0.95), 12) * width
        along = x / width - 0.5
        y = height * (0.5 + rise * along + rng.uniform(-0.1, 0.1) + rng.uniform(-0.3, 0.3) * along**2)
        line = [np.rint(np.column_stack((x, y)) * 16).astype(np.int32)]
        thick = int(rng.integers(1, 4))
        cv2.polylines(bright, line, False, float(rng.uniform(0.4, 1)), thick, cv2.LINE_AA, 4)
        shadow = [line[0] + (0, int(16 * rng.uniform(1.5, 4)))]
        cv2.polylines(dark, shadow, False, float(rng.uniform(0.3, 1)), thick + 1, cv2.LINE_AA, 4)
    visible = cv2.dilate(np.maximum(bright, dark), np.ones((5, 5), np.uint8)) > 0.1
    rubbed = np.clip(0.75 + 0.5 * noise(rng, patch.shape, 0.9, 5), 0.1, 1.6)
    patch *= 1 - 0.55 * clear * cv2.GaussianBlur(dark, (0, 0), 1.2)
    patch += clear * rng.uniform(60, 190) * cv2.GaussianBlur(bright, (0, 0), 0.7) * rubbed
    return patch, cv2.morphologyEx(visible.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8)) > 0


def _spall(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, None]:
    """A spot of crumbled steel: clipped bright grains among dark ones."""
    y, x = _grid(patch)
    shape, clear = patch.shape, _contrast(rng)
    reach = np.exp(-4.5 * ((y - rng.uniform(-0.2, 0.2)) ** 2 + (x - rng.uniform(-0.2, 0.2)) ** 2))
    grains = noise(rng, shape, rng.uniform(1.0, 1.9), rng.uniform(0.8, 1.5)) + 0.8 * noise(rng, shape, 5, 3)
    limit = rng.uniform(1.6, 2.3)
    patch *= 1 - 0.5 * clear * step(-grains + 1.8 * reach, limit, 0.8)
    bright = step(grains + 1.8 * reach, limit, 0.9) * step(reach, 0.05, 0.2)
    patch += clear * rng.uniform(80, 200) * bright * np.clip(0.75 + 0.35 * noise(rng, shape, 1, 1), 0.2, 1.4)
    return patch, None


def _rough(rng: np.random.Generator, patch: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """A torn or rolled-in flake: crumpled relief, or flat and dull, with a crack along parts of its rim."""
    distance = flakes.outline(rng, *patch.shape)
    clear = _contrast(rng)
    flake = step(distance, 0.1, 0.05)
    flat = rng.random() < 0.35
    tone = rng.uniform(0.5, 0.8) if flat else rng.uniform(0.55, 1.05)
    strength = rng.uniform(0.08, 0.22) if flat else rng.uniform(0.3, 0.75)
    lit = tone + strength * flakes.relief(rng, patch.shape)
    inside = level * lit + rng.uniform(0.3, 0.7) * (patch - level)
    patch += clear * flake * (inside - patch)
    rim = np.exp(-(((distance - 0.11) / rng.uniform(0.02, 0.05)) ** 2))
    rim *= step(noise(rng, patch.shape, 25, 25), 0, 0.6)
    patch *= 1 - clear * 0.75 * rim
    shine = np.exp(-(((distance - 0.16) / 0.03) ** 2)) * step(noise(rng, patch.shape, 9, 14), 0.6, 0.8)
    patch += clear * level * rng.uniform(0.2, 1.0) * shine
    return patch, distance > 0.05


LOOKS = {
    "pit": _pit,
    "sliver": _sliver,
    "streak": _streak,
    "field": _field,
    "scratch": _scratch,
    "spall": _spall,
    "rough": _rough,
}
