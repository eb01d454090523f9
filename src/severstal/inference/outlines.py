"""Outlines of masks: as SVG paths for web pages, and drawn onto a strip for image files."""

from __future__ import annotations

import cv2
import numpy as np

from severstal.data.labels import CLASSES
from severstal.errors import InputError

# Okabe and Ito's colours, adjusted: distinguishable with any colour vision, on grey steel and on light or dark pages.
COLOURS = {1: "#e69f00", 2: "#009e73", 3: "#d5346b", 4: "#3f8fe0"}
FILL = 0.2  # opacity of the area inside an outline
LINE = 2  # pixels
JPEG_QUALITY = 92


def svg_path(mask: np.ndarray) -> str:
    """The borders of a mask as the ``d`` attribute of an SVG path in pixels, holes included; empty for an empty mask.

    OpenCV traces a border through the centres of pixels. The mask is doubled first, so that the path lies within a
    quarter pixel of the true edge.

    Args:
        mask: bool ``[H, W]``.
    """
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        points = (contour[:, 0, :] + 0.5) / 2
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points.tolist()) + "Z")
    return "".join(parts)


def draw_outlines(strip: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Draw each class's outline and a light fill in its colour.

    Args:
        strip: ``uint8 [H, W]``.
        masks: bool ``[4, H, W]``.

    Returns:
        ``uint8 [H, W, 3]`` in RGB.
    """
    picture = cv2.cvtColor(strip, cv2.COLOR_GRAY2RGB)
    for defect, mask in zip(CLASSES, masks, strict=True):
        if not mask.any():
            continue
        colour = rgb(defect)
        picture[mask] = ((1 - FILL) * picture[mask] + FILL * np.array(colour)).round().astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, LINE)
    return picture


def rgb(defect: int) -> tuple[int, int, int]:
    """Red, green and blue of a class's colour, 0 to 255."""
    red, green, blue = bytes.fromhex(COLOURS[defect].removeprefix("#"))
    return red, green, blue


def encode_jpeg(picture: np.ndarray) -> bytes:
    """The content of a JPEG file with a picture ``uint8 [H, W, 3]`` in RGB."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    is_encoded, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not is_encoded:
        raise InputError(f"a picture of the shape {picture.shape} could not be encoded as JPEG")
    return content.tobytes()
