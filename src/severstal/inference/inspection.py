"""Inspection of a folder of strips: an overlay of each strip, and a table with the defects of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from severstal.artifacts import replacing
from severstal.data import strips
from severstal.data.labels import CLASSES
from severstal.errors import InputError
from severstal.inference.outlines import encode_jpeg
from severstal.inference.strip_prediction import MeasuredDefects
from severstal.paths import InspectionPaths


def list_strips(given: Path) -> tuple[Path, list[str]]:
    """Folder and names of the strips in a folder, or of a single file.

    Raises:
        InputError: if there is none, or if the overlays of two strips would have one name.
    """
    if not given.exists():
        raise InputError(f"{given} is missing: name the image of a strip or a folder of them")
    if not given.is_dir():
        return given.parent, [given.name]
    names = strips.listing(given)
    stem, count = Counter(Path(name).stem for name in names).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{given} holds {count} strips {stem} with different suffixes, whose overlays would have the same name: "
            "rename them"
        )
    return given, names


def check_output(folder: Path, output: Path) -> None:
    """Raise if overlays would be written among the strips: the next run would take them for strips."""
    if folder == output:
        raise InputError(f"{output} holds the strips themselves: choose another folder with --output")


def inspect_strips(names: list[str], predictions: Iterable[MeasuredDefects], output: InspectionPaths) -> pd.DataFrame:
    """Write an overlay of every strip and the table of their defects.

    Args:
        predictions: of the strips, in the order of their names; each is asked for when the one before is written.

    Returns:
        The table: a row per strip; for each class the number of defects, area in pixels and in percent, confidence.

    Raises:
        InputError: if a strip is corrupt or not of the networks' size; the table is not written then.
    """
    rows = []
    bar = tqdm(predictions, "inspect", total=len(names), unit="strip", leave=False, disable=None)
    for name, prediction in zip(names, bar, strict=True):
        with replacing(output.overlay(name)) as temporary:
            temporary.write_bytes(encode_jpeg(prediction.overlay()))
        rows.append(row_of(name, prediction))
    table = pd.DataFrame(rows)
    with replacing(output.table) as temporary:
        table.to_csv(temporary, index=False)
    return table


def row_of(name: str, prediction: MeasuredDefects) -> dict[str, int | float | str]:
    """A strip's row of the table; the confidence of a class that does not occur is left empty."""
    row: dict[str, int | float | str] = {"ImageId": name}
    for defect in CLASSES:
        area = int(prediction.areas[defect - 1])
        row |= {
            f"class_{defect}_defects": int(prediction.defect_counts[defect - 1]),
            f"class_{defect}_area_px": area,
            f"class_{defect}_area_percent": round(100 * area / prediction.strip.size, 3),
            f"class_{defect}_confidence": round(float(prediction.confidences[defect - 1]), 3) if area else "",
        }
    return row


def summary(table: pd.DataFrame) -> list[str]:
    """A line per class: on how many strips it occurs, and its area."""
    areas = {defect: table[f"class_{defect}_area_px"] for defect in CLASSES}
    return [
        f"class {defect}: on {(area > 0).sum()} of {len(table)} strips, {area.sum():,} px"
        for defect, area in areas.items()
    ]
