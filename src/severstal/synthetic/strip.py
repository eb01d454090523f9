"""One synthetic strip: steel, its defects, the labeller's masks and the JPEG file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from severstal.data import rle
from severstal.synthetic.defects import draw_defect
from severstal.synthetic.placement import place_defects
from severstal.synthetic.polygons import mask_of
from severstal.synthetic.surface import HEIGHT, WIDTH
from severstal.synthetic.variety import VARIETIES

QUALITY = 90  # the quantisation tables of the competition's files


def save(
    path: Path,
    *,
    classes: tuple[int, ...],
    appearance: np.random.Generator,
    labeller: np.random.Generator,
    near_duplicate: bool = False,
    variety: str = "plain",
) -> dict[int, str]:
    """Draw a strip and write it as a JPEG of three equal grey channels.

    Args:
        appearance: decides what the picture shows; strips of equal ``appearance`` and ``classes`` look the same.
        labeller: decides the labeller's polygons and, for a near-duplicate, the small differences in the picture.

    Returns:
        Run-length code of each class that the strip shows; no pixel belongs to two classes.

    Raises:
        OSError: if the file cannot be written; it names the file and the reason.
    """
    cv2.setNumThreads(1)  # strips are drawn in parallel
    image, masks = draw(classes, appearance, labeller, variety)
    quality = QUALITY
    if near_duplicate:
        image, quality = _photograph_again(labeller, image), QUALITY + int(labeller.integers(-4, 5))
    _, encoded = cv2.imencode(".jpg", cv2.merge([image] * 3), [cv2.IMWRITE_JPEG_QUALITY, quality])
    try:
        path.write_bytes(encoded.tobytes())  # imwrite would not say why it failed
    except OSError as error:
        error.filename = str(path)
        raise
    return {class_id: rle.encode(mask) for class_id, mask in masks.items()}


def draw(
    classes: tuple[int, ...],
    appearance: np.random.Generator,
    labeller: np.random.Generator,
    variety: str = "plain",
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Picture ``uint8 [256, 1600]``, and a mask ``bool [256, 1600]`` of each class that is visible.

    Args:
        variety: a setting of :data:`severstal.synthetic.variety.VARIETIES`.
    """
    setting = VARIETIES[variety]
    camera = appearance.spawn(1)[0]  # a separate generator: a defect changes nothing outside its box
    bar = setting.draw_bar(appearance)
    strip = setting.draw_steel(appearance)
    defects = place_defects(appearance, classes, bar, setting.kinds)
    free = np.zeros((HEIGHT, WIDTH), bool)
    free[:, bar.left : bar.right] = True
    masks = {class_id: np.zeros((HEIGHT, WIDTH), bool) for class_id in classes}
    for defect in defects:
        mask = mask_of(draw_defect(appearance, labeller, strip, defect, setting.visibility)) & free
        masks[defect.class_id] |= mask
        free &= ~mask
    return setting.photograph(camera, strip, bar), {class_id: mask for class_id, mask in masks.items() if mask.any()}


def _photograph_again(labeller: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A second picture of the same steel: a little brighter or darker, with other noise."""
    grey = image * np.float32(labeller.uniform(0.96, 1.04)) + np.float32(labeller.uniform(-2, 2))
    grey += labeller.standard_normal(image.shape, dtype=np.float32) * 1.2
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
