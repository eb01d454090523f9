"""Connected components of a mask, with 8 neighbours."""

from __future__ import annotations

import cv2
import numpy as np

CONNECTIVITY = 8


def connected_components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels ``int32 [H, W]`` (0 is background) and areas ``int32 [n + 1]`` of the components of a bool ``[H, W]``."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=CONNECTIVITY, ltype=cv2.CV_32S
    )
    return labels, stats[:, cv2.CC_STAT_AREA]
