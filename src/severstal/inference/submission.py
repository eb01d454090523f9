"""Submission files: written in the form of the sample submission, and checked row by row.

A submission has a row for every test strip and each of the classes 1 to 4, with an empty code where there is no defect,
and the columns of the sample's header.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from severstal.commands import command
from severstal.data import rle
from severstal.data.labels import CLASSES, check_class, check_code
from severstal.data.strips import listing
from severstal.data.tables import OF_2019, Table, read_table
from severstal.errors import InputError
from severstal.paths import Paths

DEFAULT_COLUMNS = ["ImageId", "EncodedPixels", "ClassId"]

# Share of the competition's training strips that show each class (897, 247, 5,150 and 801 of 12,568).
TRAINING_SHARES = (0.0714, 0.0197, 0.4098, 0.0637)


@dataclass(frozen=True)
class Form:
    """What a submission must hold.

    Attributes:
        images: names of the strips, in the order of the rows.
        columns: of the header.
        paths: the experiment that it is predicted with.
    """

    images: list[str]
    columns: list[str]
    paths: Paths = field(default_factory=Paths, compare=False)

    @property
    def remake(self) -> str:
        """The command that writes the submission."""
        return command(self.paths, "predict")

    @property
    def cure(self) -> str:
        """What to do about a wrong file."""
        return f"correct the file, or write it again with `{self.remake}`"


def form_of(paths: Paths, images: list[str] | None = None) -> Form:
    """The form of the sample submission; without a sample, Kaggle's current columns and all test strips.

    Args:
        images: names of the test strips; read from their folder by default.

    Raises:
        InputError: if the sample names a strip that is not in the folder, or the folder holds a strip that the sample
            does not name.
    """
    found = listing(paths.test_images) if images is None else images
    if not paths.sample_submission.exists():
        return Form(found, DEFAULT_COLUMNS, paths)
    table = read_table(paths.sample_submission)
    wanted, in_folder = list(dict.fromkeys(image for image, _, _ in table.rows)), set(found)
    for row, (image, _, _) in enumerate(table.rows):
        if image not in in_folder:
            raise InputError(f"{table.line(row)}: {image!r} is not in {paths.test_images}: restore the file")
    extra = sorted(in_folder - set(wanted))
    if extra:
        raise InputError(
            f"{paths.test_images / extra[0]} is not in {paths.sample_submission} ({len(extra)} such strips): remove "
            "them, or remove the sample to have every strip of the folder predicted"
        )
    return Form(wanted, table.columns, paths)


def write(path: Path, form: Form, codes: dict[str, list[str]]) -> None:
    """Write a submission.

    Args:
        codes: the four run-length codes of each strip.
    """
    rows = [(image, defect, codes[image][defect - 1]) for image in form.images for defect in CLASSES]
    if form.columns == OF_2019:
        frame = pd.DataFrame([(f"{image}_{defect}", code) for image, defect, code in rows], columns=OF_2019)
    else:
        frame = pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"])[form.columns]
    frame.to_csv(path, index=False)


@dataclass(frozen=True)
class Counts:
    """What a submission predicts.

    Attributes:
        strips: number of strips.
        with_class: strips that show each class.
        shared_pixels: pixels that have more than one class; true masks have none.
        same_mask: classes that have one and the same mask on every one of several strips.
    """

    strips: int
    with_class: tuple[int, ...]
    shared_pixels: int
    same_mask: tuple[int, ...] = ()

    def warnings(self, occurring: Collection[int], paths: Paths) -> list[str]:
        """What makes the submission suspicious, a line each.

        Args:
            occurring: the classes that training strips show.
            paths: the experiment that it was predicted with.
        """
        advice = f"look at the networks' scores and curves (`{command(paths, 'report')}`) before you submit it"
        missing = [defect for defect in CLASSES if defect in occurring and not self.with_class[defect - 1]]
        lines = [f"class {defect} has the same mask on every strip: {advice}" for defect in self.same_mask]
        if missing and not any(self.with_class):
            return [f"no defect is predicted on any of {self.strips} strips: {advice}"]
        return lines + [f"class {d} is on no strip, though training strips show it: {advice}" for d in missing]

    def lines(self) -> list[str]:
        """A line per class with its share of the strips, beside that in the competition's training set."""
        lines = [
            f"class {defect}: on {count} of {self.strips} strips ({count / self.strips:.1%}; "
            f"Severstal's training strips {share:.1%})"
            for defect, count, share in zip(CLASSES, self.with_class, TRAINING_SHARES, strict=True)
        ]
        return [*lines, f"{self.shared_pixels} pixels have more than one class (true masks have none)"]


def check(path: Path, form: Form, height: int, width: int) -> Counts:
    """Check a submission file row by row.

    Raises:
        InputError: naming the line, for a wrong header, image, class or code, a row too many or one missing.
    """
    if not path.exists():
        raise InputError(f"{path} is missing: make it with `{form.remake}`")
    table = read_table(path, strict=True)
    if table.columns != form.columns:
        raise InputError(
            f"{path}, line 1: the header is {','.join(table.columns)}; it must be "
            f"{','.join(form.columns)}, as in the sample: {form.cure}"
        )
    codes = _codes(table, form)
    missing = [(image, defect) for image in form.images for defect in CLASSES if (image, defect) not in codes]
    if missing:
        image, defect = missing[0]
        raise InputError(f"{path} has no row for image {image}, class {defect} ({len(missing)} such rows): {form.cure}")
    with_class, shared = [0] * len(CLASSES), 0
    different = {defect: {codes[image, defect][1].strip() for image in form.images} for defect in CLASSES}
    same = tuple(d for d, texts in different.items() if len(texts) == 1 and texts != {""} and len(form.images) > 1)
    for image in form.images:
        classes_per_pixel = np.zeros((height, width), dtype=np.uint8)
        for defect in CLASSES:
            row, code = codes[image, defect]
            if code.strip():
                check_code(table, row, code, height, width)
                with_class[defect - 1] += 1
                classes_per_pixel += rle.decode(code, height, width)
        shared += int(np.count_nonzero(classes_per_pixel > 1))
    return Counts(len(form.images), tuple(with_class), shared, same)


def _codes(table: Table, form: Form) -> dict[tuple[str, int], tuple[int, str]]:
    """Row number and code of every strip and class in a table."""
    codes: dict[tuple[str, int], tuple[int, str]] = {}
    images = set(form.images)
    for row, (image, class_text, code) in enumerate(table.rows):
        defect = check_class(table, row, class_text)
        if image not in images:
            raise InputError(f"{table.line(row)}: {image!r} is not a strip of the test set: {form.cure}")
        if (image, defect) in codes:
            raise InputError(f"{table.line(row)}: image {image}, class {defect} has a row already: {form.cure}")
        codes[image, defect] = (row, code)
    return codes
