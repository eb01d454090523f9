"""Tables of labels (train.csv) and submissions, in both forms that Kaggle has used.

* current: ``ImageId,ClassId,EncodedPixels`` in any column order; in train.csv only defects have rows;
* of 2019: ``ImageId_ClassId,EncodedPixels``, four rows per image, the code empty where the image lacks the class.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from severstal.data import rle
from severstal.errors import InputError

CLASSES = (1, 2, 3, 4)
CURRENT = {"ImageId", "ClassId", "EncodedPixels"}
OF_2019 = ["ImageId_ClassId", "EncodedPixels"]
HEADER_LINES = 1
csv.field_size_limit(2**31 - 1)  # the code of a noisy mask exceeds the 128 KiB that csv accepts by default

Labels = dict[str, dict[int, str]]  # image -> class -> code; an image without defects maps to {}


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file in either form; ``columns`` is its header, in its order."""

    path: Path
    columns: list[str]
    rows: list[tuple[str, str, str]]  # image, class and code as the file holds them

    def line(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.path}, line {row + 1 + HEADER_LINES}"


def read_table(path: Path) -> Table:
    """Rows of a table in either form; only the header and the number of fields are checked.

    Raises:
        InputError: if the file is missing or no CSV file, has another header, or a row lacks fields.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: `bash bin/download_data.sh` fetches the competition's files") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}; copy or download it again") from None
    while lines and not lines[-1]:
        lines.pop()
    columns = lines[0] if lines else []
    current = set(columns) == CURRENT and len(columns) == len(CURRENT)
    if not current and columns != OF_2019:
        raise InputError(
            f"{path}, line 1: the header is {','.join(columns)!r}; it must be 'ImageId,ClassId,EncodedPixels' "
            "or 'ImageId_ClassId,EncodedPixels'"
        )
    table = Table(path, columns, [])
    order = {name: position for position, name in enumerate(columns)}
    for row, fields in enumerate(lines[HEADER_LINES:]):
        if len(fields) != len(columns):
            raise InputError(
                f"{table.line(row)}: {len(fields)} fields where the header has {len(columns)}: correct the row"
            )
        code = fields[order["EncodedPixels"]]
        key = (fields[order["ImageId"]], fields[order["ClassId"]]) if current else _split_key(fields[0])
        table.rows.append((*key, code))
    return table


def read_labels(path: Path, height: int, width: int, images: list[str] | None = None) -> Labels:
    """Labels of a train.csv (or of a test set's truth), every row checked.

    Args:
        images: the strips in the folder; those without a row are clean. Without it, the strips are those of the
            table.

    Raises:
        InputError: naming the line, for a class outside 1-4, a wrong code, a repeated row, or an image that is not in
            ``images``.
    """
    table = read_table(path)
    labels: Labels = {image: {} for image in images or ()}
    lines: dict[tuple[str, int], int] = {}
    for row, (image, class_text, code) in enumerate(table.rows):
        defect = check_class(table, row, class_text)
        if images is not None and image not in labels:
            raise InputError(f"{table.line(row)}: {image!r} is not among the images: add the file or drop the row")
        if (image, defect) in lines:
            raise InputError(
                f"{table.line(row)}: image {image}, class {defect} is in line {lines[image, defect]} already: "
                "merge or drop one of the rows"
            )
        lines[image, defect] = row + 1 + HEADER_LINES
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


def _split_key(key: str) -> tuple[str, str]:
    image, _, defect = key.rpartition("_")
    return image, defect
