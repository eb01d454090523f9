"""One synthetic strip: steel, its defects, the labeller's masks and the JPEG file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from severstal.data import rle
from severstal.synthetic.defects import paint
from severstal.synthetic.shapes import fill, place
from severstal.synthetic.surface import HEIGHT, WIDTH, draw_bar, finish, steel

QUALITY = 90  # the quantisation tables of the competition's files


def save(
    path: Path,
    *,
    classes: tuple[int, ...],
    look: np.random.Generator,
    hand: np.random.Generator,
    near_copy: bool = False,
) -> dict[int, str]:
    """Draw a strip and write it as a JPEG of three equal grey channels.

    Args:
        look: decides everything that is seen; strips of equal ``look`` and ``classes`` look the same.
        hand: decides the labeller's polygons and, for a near-copy, the small differences in the picture.

    Returns:
        Run-length code of each class that the strip shows; no pixel is in two of them.
    """
    cv2.setNumThreads(1)  # the strips are what runs in parallel
    image, masks = draw(classes, look, hand)
    quality = QUALITY
    if near_copy:
        image, quality = _disturb(hand, image), QUALITY + int(hand.integers(-4, 5))
    written = cv2.imwrite(str(path), cv2.merge([image] * 3), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise OSError(f"cannot write {path}")
    return {class_id: rle.encode(mask) for class_id, mask in masks.items()}


def draw(
    classes: tuple[int, ...], look: np.random.Generator, hand: np.random.Generator
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Picture ``uint8 [256, 1600]`` and one mask ``bool [256, 1600]`` for each class, none empty."""
    camera = look.spawn(1)[0]  # of its own, so that defects change nothing outside their boxes
    bar = draw_bar(look)
    strip = steel(look)
    items = place(look, classes, bar)
    free = np.zeros((HEIGHT, WIDTH), bool)
    free[:, bar.left : bar.right] = True
    masks = {class_id: np.zeros((HEIGHT, WIDTH), bool) for class_id in classes}
    for item in items:
        mine = fill(paint(look, hand, strip, item)) & free
        masks[item.class_id] |= mine
        free &= ~mine
    return finish(camera, strip, bar), {class_id: mask for class_id, mask in masks.items() if mask.any()}


def _disturb(hand: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A second picture of the same steel: a little brighter or darker, with noise of its own."""
    grey = image * np.float32(hand.uniform(0.96, 1.04)) + np.float32(hand.uniform(-2, 2))
    grey += hand.standard_normal(image.shape, dtype=np.float32) * 1.2
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
