"""Labels of a train.csv: per strip and class a run-length code, every row checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from severstal.data import rle
from severstal.data.tables import Table, read_table
from severstal.errors import InputError, did_you_mean

CLASSES = (1, 2, 3, 4)

Labels = dict[str, dict[int, str]]  # image -> class -> code; an image without defects maps to {}


def read_labels(path: Path, height: int, width: int, images: list[str] | None = None) -> Labels:
    """Labels of a train.csv (or of a test set's truth), every row checked.

    Args:
        images: the strips in the folder; those without a row are clean. A row may write a name in other letter case
            (``A.JPG``). Without it, the strips are those of the table.

    Raises:
        InputError: naming the line, for a class outside 1-4, a wrong code, a repeated row, or an image that is not in
            ``images``.
    """
    table = read_table(path)
    labels: Labels = {image: {} for image in images or ()}
    lines: dict[tuple[str, int], int] = {}
    names = _Names(images) if images is not None else None
    for row, (written, class_text, code) in enumerate(table.rows):
        defect = check_class(table, row, class_text)
        image = names.find(written) if names else written
        if image is None:
            raise InputError(
                f"{table.line(row)}: {written!r} is not among the images{did_you_mean(written, labels)}: add the file, "
                "or correct or drop the row"
            )
        if (image, defect) in lines:
            raise InputError(
                f"{table.line(row)}: image {image}, class {defect} is in line {lines[image, defect]} already: "
                "merge or drop one of the rows"
            )
        lines[image, defect] = table.lines[row]
        labels.setdefault(image, {})
        if code.strip():
            check_code(table, row, code, height, width)
            labels[image][defect] = code
    return labels


def check_class(table: Table, row: int, text: str) -> int:
    """The class of a row, 1 to 4.

    Raises:
        InputError: naming the line, if it is another one.
    """
    if text not in {str(defect) for defect in CLASSES}:
        raise InputError(f"{table.line(row)}: class {text!r}; classes are 1, 2, 3 and 4: correct the row")
    return int(text)


def check_code(table: Table, row: int, code: str, height: int, width: int) -> None:
    """Raise an :class:`InputError` that names the line if a row's code does not fit the image."""
    try:
        rle.runs(code, height, width)
    except InputError as error:
        raise InputError(f"{table.line(row)}: {error}: correct or drop the row") from None


def masks(codes: dict[int, str], height: int, width: int) -> np.ndarray:
    """The masks of a strip, ``bool [4, height, width]``, from the code of each class that it shows."""
    planes = np.zeros((len(CLASSES), height, width), dtype=bool)
    for defect, code in codes.items():
        planes[defect - 1] = rle.decode(code, height, width)
    return planes


class _Names:
    """Finds the image that a table means: the exact name, or the only one that differs in letter case alone."""

    def __init__(self, images: list[str]) -> None:
        self._images = set(images)
        self._lower: dict[str, list[str]] = {}
        for image in images:
            self._lower.setdefault(image.lower(), []).append(image)

    def find(self, name: str) -> str | None:
        if name in self._images:
            return name
        similar = self._lower.get(name.strip().lower(), [])
        return similar[0] if len(similar) == 1 else None
