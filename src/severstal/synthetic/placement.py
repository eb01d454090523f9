"""How many defects a synthetic strip has, where they are, and how large.

The numbers of ``KINDS`` were measured on masks of the competition (3,676 masks, 10,363 defects; counts per image on
nearly all 12,568 training images). They are statistics; no mask is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from severstal.synthetic.surface import HEIGHT, Bar


@dataclass(frozen=True)
class Kind:
    """One appearance of a class.

    Attributes:
        look: what draws it, a key of :data:`severstal.synthetic.defects.LOOKS`.
        share: of the class's defects.
        width, height: of the box in pixels: median, and standard deviation of the logarithm.
        correlation: of the logarithms of width and height.
        vertices: mean number of the polygon's corners beyond four.
    """

    look: str
    share: float
    width: tuple[float, float]
    height: tuple[float, float]
    correlation: float
    vertices: float


# Mean number of defects per image that shows the class; the distribution is geometric within a few percent
# (measured quantiles 25/50/75/90 %: class 1: 1 2 5 8, class 2: 1 1 2 2, class 3: 1 2 4 6, class 4: 1 2 3 5).
MEAN_COUNT = {1: 3.44, 2: 1.30, 3: 2.84, 4: 2.38}
MAX_COUNT = 14

# A box is larger than its polygon: the corners are inside it, and the strip's edge cuts some off.
BOX_SCALE = 1.1

# Class 3 in five parts: streaks over the full height, streaks that end within the strip, wide fields of
# ragged streaks, scratches across the strip, and compact spots. A height of 256 or more is the full height.
KINDS: dict[int, tuple[Kind, ...]] = {
    1: (Kind("pit", 1.0, (26, 0.34), (43, 0.55), 0.37, 1.5),),
    2: (Kind("sliver", 1.0, (20, 0.37), (161, 0.40), 0.46, 1.0),),
    3: (
        Kind("streak", 0.31, (26, 0.46), (300, 0.05), 0.0, 0.7),
        Kind("streak", 0.31, (25, 0.53), (141, 0.48), 0.33, 1.5),
        Kind("field", 0.05, (204, 0.50), (300, 0.05), 0.0, 7.0),
        Kind("scratch", 0.12, (190, 0.75), (60, 0.60), 0.72, 4.0),
        Kind("spall", 0.21, (46, 0.60), (53, 0.58), 0.85, 2.5),
    ),
    4: (Kind("rough", 1.0, (128, 0.75), (101, 0.60), 0.67, 10.0),),
}


@dataclass(frozen=True)
class Box:
    """Columns ``x`` to ``x + width`` and rows ``y`` to ``y + height`` of one defect; may extend beyond the strip."""

    x: int
    y: int
    width: int
    height: int

    def overlaps(self, other: Box, gap: int) -> bool:
        """Whether fewer than ``gap`` pixels lie between the boxes."""
        apart_x = self.x >= other.x + other.width + gap or other.x >= self.x + self.width + gap
        apart_y = self.y >= other.y + other.height + gap or other.y >= self.y + self.height + gap
        return not (apart_x or apart_y)


@dataclass(frozen=True)
class Defect:
    """One defect: its class (1 to 4), its appearance, and the box that its polygon fills."""

    class_id: int
    kind: Kind
    box: Box


def place_defects(
    rng: np.random.Generator, classes: tuple[int, ...], bar: Bar, kinds: Mapping[int, tuple[Kind, ...]] = KINDS
) -> list[Defect]:
    """Defects of one strip, at least one of each class; boxes of different classes do not overlap."""
    placed: list[Defect] = []
    for class_id in sorted(classes, key=lambda class_id: class_id == 3):  # long streaks fit in last
        count = min(int(rng.geometric(1 / MEAN_COUNT[class_id])), MAX_COUNT)
        for number in range(count):
            # The first defect of a class shrinks until it fits; a later one is left out of a full strip.
            defect = _fit(rng, class_id, kinds[class_id], bar, placed, tries=200 if number == 0 else 6)
            placed += [defect] if defect else []
    return placed


def _fit(
    rng: np.random.Generator, class_id: int, kinds: tuple[Kind, ...], bar: Bar, placed: list[Defect], tries: int
) -> Defect | None:
    """A defect that overlaps none of those placed; None where no try succeeds."""
    shares = np.array([kind.share for kind in kinds])
    kind = kinds[rng.choice(len(shares), p=shares / shares.sum())]
    for attempt in range(tries):
        box = _draw_box(rng, kind, bar, size=BOX_SCALE * 0.97**attempt)
        if not any(box.overlaps(other.box, gap=2 if other.class_id == class_id else 6) for other in placed):
            return Defect(class_id, kind, box)
    return None


def _draw_box(rng: np.random.Generator, kind: Kind, bar: Bar, size: float) -> Box:
    a, b = rng.standard_normal(2)
    b = kind.correlation * a + np.sqrt(1 - kind.correlation**2) * b
    room = bar.right - bar.left
    width = int(np.clip(kind.width[0] * np.exp(kind.width[1] * a) * size, 12, room * 0.7))
    height = int(np.clip(kind.height[0] * np.exp(kind.height[1] * b) * size, 16, 330))
    x = int(rng.integers(bar.left, max(bar.left + 1, bar.right - width + 1)))
    if height >= HEIGHT:
        return Box(x, -(height - HEIGHT) // 2, width, height)
    # The edge of the picture cuts defects off: they start above or end below the strip as often as inside it.
    y = int(np.clip(rng.integers(-height // 3, HEIGHT - 2 * height // 3), -height // 3, HEIGHT))
    return Box(x, y, width, height)
