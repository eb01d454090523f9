"""The outline of a mask: as an SVG path for pages, and drawn onto a strip for image files."""

from __future__ import annotations

import cv2
import numpy as np

from severstal.data.labels import CLASSES

# Told apart by people with any colour vision, on grey steel and on a page, light or dark (after Okabe & Ito).
COLOURS = {1: "#e69f00", 2: "#009e73", 3: "#d5346b", 4: "#3f8fe0"}


def svg_path(mask: np.ndarray) -> str:
    """The mask's borders as the ``d`` of an SVG path in pixels, holes included; empty for an empty mask.

    Borders run along the outer pixels' outer edges: each mask is doubled first, so that a border traced through
    the middle of pixels lies within a quarter pixel of the true edge.

    Args:
        mask: bool ``[H, W]``.
    """
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    found, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in found:
        points = (contour[:, 0, :] + 0.5) / 2
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points.tolist()) + "Z")
    return "".join(parts)


def draw(strip: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The strip with each class's outline and a light fill in its colour, ``uint8 [H, W, 3]`` in OpenCV's BGR.

    Args:
        strip: ``uint8 [H, W]``.
        masks: bool ``[4, H, W]``.
    """
    made = cv2.cvtColor(strip, cv2.COLOR_GRAY2BGR)
    for defect, mask in zip(CLASSES, masks, strict=True):
        if not mask.any():
            continue
        colour = bgr(defect)
        made[mask] = (0.8 * made[mask] + 0.2 * np.array(colour)).round().astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(made, contours, -1, colour, 2)
    return made


def bgr(defect: int) -> tuple[int, int, int]:
    """A class's colour as OpenCV takes it."""
    red, green, blue = (int(COLOURS[defect][start : start + 2], 16) for start in (1, 3, 5))
    return blue, green, red
