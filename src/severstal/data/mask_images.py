"""Masks as labelling programs export them: one PNG per strip, whose pixel values are classes, 0 where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from severstal.data import rle
from severstal.data.images import decode_values
from severstal.data.labels import CLASSES
from severstal.errors import InputError, did_you_mean


def read_mask(path: Path, height: int, width: int) -> np.ndarray:
    """The class of every pixel, ``uint8 [height, width]``, 0 where no defect is.

    Raises:
        InputError: naming the file, if it is no PNG of one channel, is corrupt, has another size than the strips, or
            holds a value that is no class.
    """
    values = decode_values(path.read_bytes(), str(path), (height, width))
    unknown = np.setdiff1d(values, (0, *CLASSES))
    if unknown.size:
        raise InputError(
            f"{path} holds the value {unknown[0]}: a pixel must be 0 or its class, 1 to {CLASSES[-1]}: export the "
            "mask with indexed colours in the order of the classes, not as black and white"
        )
    return values


def read_codes(folder: Path, images: Sequence[str], height: int, width: int) -> dict[str, dict[int, str]]:
    """Run-length codes by strip and class, of the strips that have a mask; no code where a mask is empty.

    Args:
        folder: of the masks; ``a.png`` is that of the strip ``a.jpg``, or of a strip of another format.
        images: names of the strips.

    Raises:
        InputError: as :func:`read_mask`, and if the folder holds no mask, or one without a strip.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the folder of the masks with --masks")
    masks = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".png" and not file.name.startswith("."))
    if not masks:
        raise InputError(f"{folder} holds no PNG: export one mask per strip there, named as the strip")
    strip_of: dict[str, str] = {}
    for image in images:
        if (other := strip_of.setdefault(Path(image).stem, image)) != image:
            raise InputError(f"{other} and {image} would have the same mask, {Path(image).stem}.png: rename one strip")
    codes = {}
    for mask in masks:
        if mask.stem not in strip_of:
            near = did_you_mean(mask.stem, strip_of)
            raise InputError(
                f"{mask}: there is no strip of this name{near}: rename or remove the mask, or add the strip"
            )
        values = read_mask(mask, height, width)
        codes[strip_of[mask.stem]] = {
            defect: rle.encode(values == defect) for defect in CLASSES if (values == defect).any()
        }
    return codes
