"""The loose polygons that a labeller draws around defects.

A polygon depends on its box and on the labeller's generator: two labellers' polygons of one box differ by a few pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from severstal.synthetic.placement import Box
from severstal.synthetic.surface import HEIGHT, WIDTH


def fill_box(labeller: np.random.Generator, box: Box, vertices: float) -> np.ndarray:
    """Corners ``int32 [n, 2]`` (x, y) of a polygon that fills a box.

    Args:
        vertices: mean number of corners beyond four.
    """
    extra = labeller.poisson(vertices)
    corners = _quadrilateral(labeller, box) if extra == 0 else _rounded(labeller, box, 4 + extra)
    return np.rint(corners).astype(np.int32)


def surround(labeller: np.random.Generator, patch: np.ndarray, box: Box) -> np.ndarray:
    """Corners ``int32 [n, 2]`` (x, y) of a polygon around a ragged patch, 2 to 5 pixels outside it.

    Args:
        patch: ``bool [box.height, box.width]``.
    """
    margin = int(labeller.integers(2, 6))
    wide = cv2.copyMakeBorder(patch.astype(np.uint8), *(margin,) * 4, cv2.BORDER_CONSTANT, value=0)
    wide = cv2.dilate(wide, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1)))
    contours, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    corners = cv2.approxPolyDP(largest, labeller.uniform(2.0, 5.0), True)[:, 0]
    corners = corners + labeller.integers(-2, 3, corners.shape)
    return (corners + np.array([box.x - margin, box.y - margin])).astype(np.int32)


def mask_of(corners: np.ndarray) -> np.ndarray:
    """Mask ``bool [256, 1600]`` of a polygon; what extends beyond the strip is cut off."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [corners], 1)
    return mask.astype(bool)


def _quadrilateral(labeller: np.random.Generator, box: Box) -> np.ndarray:
    """Four corners close to the box's."""
    slack_x, slack_y = 0.16 * box.width, min(0.1 * box.height, 12)
    inset_x, inset_y = labeller.uniform(0, slack_x, 4), labeller.uniform(0, slack_y, 4)
    left, right, top, bottom = box.x, box.x + box.width - 1, box.y, box.y + box.height - 1
    return np.array(
        [
            (left + inset_x[0], top + inset_y[0]),
            (right - inset_x[1], top + inset_y[1]),
            (right - inset_x[2], bottom - inset_y[2]),
            (left + inset_x[3], bottom - inset_y[3]),
        ]
    )


def _rounded(labeller: np.random.Generator, box: Box, corners: int) -> np.ndarray:
    """Unevenly spaced corners on a rounded rectangle."""
    angle = (np.arange(corners) + labeller.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners + np.pi / 4
    power = 0.55  # between an ellipse (1) and a rectangle (0)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    reach = labeller.uniform(0.88, 1.0, corners)
    return np.column_stack((box.x + (1 + x * reach) * box.width / 2, box.y + (1 + y * reach) * box.height / 2))
