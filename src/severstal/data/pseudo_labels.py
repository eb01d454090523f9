"""Pseudo-labels on disk: for each fold a table of strips that the fold's own networks labelled.

A fold's labels must not leak into its validation: they come from networks that never saw its validation strips, with
post-processing values that were chosen without these strips. So each fold has its own table, the record says which
strips its networks were validated on, and a fold that validates on other strips is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from severstal.artifacts import Artifact, file_hash, fingerprint, listing_hash, read_model, replacing
from severstal.data.labels import CLASSES, Labels, read_labels
from severstal.errors import InputError
from severstal.paths import PseudoPaths

PREFIX = "pseudo/"  # of a pseudo-labelled strip's name: a training strip may have the same name


class FoldRecord(BaseModel):
    """What one fold's table is made from.

    Attributes:
        members: hash of each network's weights by the network's name.
        held_out: fingerprint of the strips that none of the networks was trained on.
        taken: number of strips in the table.
        table: hash of the table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: dict[str, str]
    held_out: str
    taken: int
    table: str


class HeldOutQuality(BaseModel):
    """The quality of labels made in the same way for labelled strips, by the networks that did not train on them.

    Attributes:
        strips: number of labelled strips.
        taken: how many of them would be taken.
        dice: mean per class over all of them.
        dice_of_taken: mean per class over those taken; None where none was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strips: int
    taken: int
    dice: list[float]
    dice_of_taken: list[float] | None


class Record(BaseModel):
    """What ``pseudo.json`` holds.

    Attributes:
        images: the folder of strips.
        strips: hash of the names and sizes of the strips that any fold took.
        counts: strips by outcome of their assessment, per class and over all folds.
        cached_from: see :class:`severstal.artifacts.Artifact`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: str
    strips: str
    folds: tuple[FoldRecord, ...]
    counts: dict[str, list[int]]
    quality: HeldOutQuality
    cached_from: dict[str, Any] = {}


@dataclass(frozen=True)
class PseudoLabels:
    """One fold's pseudo-labels.

    Attributes:
        folder: of the strips.
        images: file names of all strips that any fold took, so that all folds share one cache of decoded strips.
        labels: this fold's labels by the strips' names with :data:`PREFIX`.
        table: hash of the table that holds them.
        fingerprint: of the labels and their strips.
    """

    folder: Path
    images: list[str]
    labels: Labels
    table: str
    fingerprint: str


def file_name(image: str) -> str:
    """The file name of a pseudo-labelled strip."""
    return image.removeprefix(PREFIX)


def write_labels(path: Path, codes: dict[str, list[str]]) -> None:
    """Write a fold's table: four rows per strip, the code empty where the strip does not show the class."""
    rows = [(image, defect, code) for image in codes for defect, code in zip(CLASSES, codes[image], strict=True)]
    with replacing(path) as temporary:
        pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(temporary, index=False)


def write_record(
    paths: PseudoPaths,
    artifact: Artifact,
    images: Path,
    taken: list[dict[str, list[str]]],
    networks: list[tuple[dict[str, str], list[str]]],
    counts: dict[str, list[int]],
    quality: HeldOutQuality,
) -> None:
    """Write the record, after the tables beside it.

    Args:
        taken: each fold's strips with their codes.
        networks: each fold's networks with their weights' hashes, and the strips that the fold validates on.
    """
    folds = [
        FoldRecord(
            members=hashes, held_out=_fingerprint(held_out), taken=len(codes), table=file_hash(paths.labels(fold))
        )
        for fold, (codes, (hashes, held_out)) in enumerate(zip(taken, networks, strict=True))
    ]
    strips = listing_hash(images, sorted(set().union(*taken)))
    record = Record(images=str(images), strips=strips, folds=tuple(folds), counts=counts, quality=quality)
    artifact.write_record(record.model_dump())


def read_record(paths: PseudoPaths, remake: str) -> Record:
    """The record.

    Raises:
        InputError: if it is missing or not what the stage writes, naming ``remake``, the command that writes it.
    """
    return read_model(paths.record, Record, remake)


def read(folder: Path, fold: int, held_out: list[str], height: int, width: int, remake: str) -> PseudoLabels:
    """The pseudo-labels that a fold may train on.

    Args:
        held_out: the strips that the fold validates on.
        remake: the command that labels strips with the networks of the fold's experiment.

    Raises:
        InputError: if they are missing, were changed, or were made by networks that may have trained on one of
            ``held_out``.
    """
    paths = PseudoPaths(folder)
    record = read_record(paths, remake)
    if fold >= len(record.folds) or record.folds[fold].held_out != _fingerprint(held_out):
        raise InputError(
            f"{paths.record}: the networks that made {paths.labels(fold).name} may have trained on strips that fold "
            f"{fold} validates on now, so their labels would leak into its score: give both experiments the same "
            f"folds.csv, or make pseudo-labels with this one (`{remake}`), or train without (--pseudo-labels none)"
        )
    images = Path(record.images)
    labels = [read_labels(_checked_table(paths, record, k, remake), height, width) for k in range(len(record.folds))]
    taken = sorted(set().union(*labels))
    if _listing_hash(images, taken, remake) != record.strips:
        raise InputError(f"{images} holds other strips than {paths.record} was made of: run `{remake}` again")
    own = {PREFIX + image: codes for image, codes in labels[fold].items()}
    table = record.folds[fold].table
    content = fingerprint(table, _listing_hash(images, list(labels[fold]), remake))
    return PseudoLabels(images, taken, own, table, content)


def _checked_table(paths: PseudoPaths, record: Record, fold: int, remake: str) -> Path:
    """The path of a fold's table, which must be the table of the record."""
    path = paths.labels(fold)
    if not path.exists():
        raise InputError(f"{path} is missing: delete {paths.record} and run `{remake}`")
    if file_hash(path) != record.folds[fold].table:
        raise InputError(f"{path} was changed after it was made: delete {paths.record} and run `{remake}`")
    return path


def _fingerprint(held_out: list[str]) -> str:
    return fingerprint(sorted(held_out))


def _listing_hash(folder: Path, images: list[str], remake: str) -> str:
    try:
        return listing_hash(folder, images)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} is missing: restore the strip, or run `{remake}` again") from None
