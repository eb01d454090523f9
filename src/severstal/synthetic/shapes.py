"""Where synthetic defects lie, how large they are, and the loose polygons that a labeller draws round them.

The numbers of ``KINDS`` were measured on masks of the competition (3,676 masks, 10,363 objects; counts per
image on nearly all 12,568 training images); they are numbers only, no mask is copied. A polygon belongs to
its box: two draws of the same box by different hands differ by a few pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from severstal.synthetic.surface import HEIGHT, WIDTH, Bar


@dataclass(frozen=True)
class Kind:
    """One way in which a class looks: how often, and the box's size (median, deviation of the logarithm)."""

    look: str
    share: float
    width: tuple[float, float]
    height: tuple[float, float]
    correlation: float
    vertices: float  # mean of the polygon's corners beyond four


# Mean number of objects per image that has the class; their distribution is geometric within a few percent
# (measured quantiles 25/50/75/90 %: class 1: 1 2 5 8, class 2: 1 1 2 2, class 3: 1 2 4 6, class 4: 1 2 3 5).
OBJECTS = {1: 3.44, 2: 1.30, 3: 2.84, 4: 2.38}

# A box is drawn larger than its polygon turns out: corners lie inside it, and the strip cuts some off.
LOOSE = 1.1

# Class 3 in five parts: streaks over the full height, streaks that end within the strip, wide fields of
# ragged streaks, scratches across the strip, and compact spots. A height of 256 and more is a full one.
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
    """Columns ``x`` to ``x + width``, rows ``y`` to ``y + height`` of one object; may leave the strip."""

    x: int
    y: int
    width: int
    height: int

    def meets(self, other: Box, gap: int = 6) -> bool:
        apart_x = self.x >= other.x + other.width + gap or other.x >= self.x + self.width + gap
        apart_y = self.y >= other.y + other.height + gap or other.y >= self.y + self.height + gap
        return not (apart_x or apart_y)


@dataclass(frozen=True)
class Object:
    """One defect: its class 1 to 4, its look and the box that its polygon fills."""

    class_id: int
    kind: Kind
    box: Box


def place(rng: np.random.Generator, classes: tuple[int, ...], bar: Bar) -> list[Object]:
    """Objects of one strip, at least one of each class, the boxes of different classes apart."""
    placed: list[Object] = []
    for class_id in sorted(classes, key=lambda class_id: class_id == 3):  # long streaks fit in last
        count = min(int(rng.geometric(1 / OBJECTS[class_id])), 14)
        for number in range(count):
            # The first of a class shrinks until it fits; a later one is left out where the strip is full.
            found = _fit(rng, class_id, bar, placed, tries=200 if number == 0 else 6)
            placed += [found] if found else []
    return placed


def _fit(rng: np.random.Generator, class_id: int, bar: Bar, placed: list[Object], tries: int) -> Object | None:
    shares = np.array([kind.share for kind in KINDS[class_id]])
    kind = KINDS[class_id][rng.choice(len(shares), p=shares / shares.sum())]
    for attempt in range(tries):
        box = _draw_box(rng, kind, bar, size=LOOSE * 0.97**attempt)
        if not any(box.meets(other.box, 2 if other.class_id == class_id else 6) for other in placed):
            return Object(class_id, kind, box)
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
    # A camera frame cuts objects off: they start above or end below the strip as often as inside.
    y = int(np.clip(rng.integers(-height // 3, HEIGHT - 2 * height // 3), -height // 3, HEIGHT))
    return Box(x, y, width, height)


def outline(hand: np.random.Generator, box: Box, vertices: float) -> np.ndarray:
    """Corners ``int32 [n, 2]`` (x, y) of a polygon that fills the box: four, or about ``vertices`` more."""
    extra = hand.poisson(vertices)
    corners = _quad(hand, box) if extra == 0 else _ring(hand, box, 4 + extra)
    return np.rint(corners).astype(np.int32)


def _quad(hand: np.random.Generator, box: Box) -> np.ndarray:
    """A leaning rectangle: what a labeller clicks fastest."""
    slack_x, slack_y = 0.16 * box.width, min(0.1 * box.height, 12)
    inset_x, inset_y = hand.uniform(0, slack_x, 4), hand.uniform(0, slack_y, 4)
    left, right, top, bottom = box.x, box.x + box.width - 1, box.y, box.y + box.height - 1
    return np.array(
        [
            (left + inset_x[0], top + inset_y[0]),
            (right - inset_x[1], top + inset_y[1]),
            (right - inset_x[2], bottom - inset_y[2]),
            (left + inset_x[3], bottom - inset_y[3]),
        ]
    )


def _ring(hand: np.random.Generator, box: Box, corners: int) -> np.ndarray:
    """Corners around a rounded rectangle, unevenly spaced."""
    angle = (np.arange(corners) + hand.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners + np.pi / 4
    power = 0.55  # between an ellipse (1) and a rectangle (0)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    reach = hand.uniform(0.88, 1.0, corners)
    return np.column_stack((box.x + (1 + x * reach) * box.width / 2, box.y + (1 + y * reach) * box.height / 2))


def around(hand: np.random.Generator, shape: np.ndarray, box: Box) -> np.ndarray:
    """Corners ``int32 [n, 2]`` (x, y) of a polygon clicked round a ragged patch, 2 to 5 pixels outside it.

    Args:
        shape: ``bool [box.height, box.width]``, the patch.
    """
    margin = int(hand.integers(2, 6))
    wide = cv2.copyMakeBorder(shape.astype(np.uint8), *(margin,) * 4, cv2.BORDER_CONSTANT, value=0)
    wide = cv2.dilate(wide, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1)))
    found, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(found, key=cv2.contourArea)
    clicked = cv2.approxPolyDP(largest, hand.uniform(2.0, 5.0), True)[:, 0]
    clicked = clicked + hand.integers(-2, 3, clicked.shape)
    return (clicked + np.array([box.x - margin, box.y - margin])).astype(np.int32)


def fill(corners: np.ndarray) -> np.ndarray:
    """Mask ``bool [256, 1600]`` of a polygon, cut at the strip's edge."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [corners], 1)
    return mask.astype(bool)
