"""Pseudo-labels on disk: for each fold the strips that its own networks are sure of.

Nothing may leak: a fold reads only what was labelled by networks that never saw its validation strips, cut by values
that were chosen without them. So each fold has a table of its own, the record says on which strips its networks were
validated, and another split is refused.
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

REMAKE = "bash bin/pseudo.sh"
MARK = "pseudo/"  # before a strip's name, so that it is never taken for a training strip of the same name


class FoldRecord(BaseModel):
    """What one fold's table is made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: dict[str, str]  # hash of each network's weights
    held_out: str  # fingerprint of the strips that none of them was trained on
    taken: int
    table: str  # hash of the file


class Worth(BaseModel):
    """Labelled strips, judged by the networks that were held back from them: how many would be taken, and their Dice.

    Attributes:
        dice: mean per class over all of them.
        dice_of_taken: over those taken; None where none was.
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
        strips: hash of names and sizes of those that any fold took.
        counts: strips by verdict, per class and over all folds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cached_from: dict[str, Any] = {}
    images: str
    strips: str
    folds: tuple[FoldRecord, ...]
    counts: dict[str, list[int]]
    area_weight: Worth


@dataclass(frozen=True)
class Pseudo:
    """One fold's pseudo-labels.

    Attributes:
        folder: of the strips.
        images: names in it of all strips that any fold took, so that folds share one cache of them.
        labels: of this fold's own, by marked name.
    """

    folder: Path
    images: list[str]
    labels: Labels
    fingerprint: str


def name_of(image: str) -> str:
    """A marked strip's name in its folder."""
    return image.removeprefix(MARK)


def write_labels(path: Path, codes: dict[str, list[str]]) -> None:
    """Write a fold's table: four rows per strip taken, the code empty where a class is surely absent."""
    rows = [(image, defect, code) for image in codes for defect, code in zip(CLASSES, codes[image], strict=True)]
    with replacing(path) as temporary:
        pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(temporary, index=False)


def write_record(
    paths: PseudoPaths,
    artifact: Artifact,
    images: Path,
    taken: list[dict[str, list[str]]],
    made_by: list[tuple[dict[str, str], list[str]]],
    counts: dict[str, list[int]],
    area_weight: Worth,
) -> None:
    """Write what the tables beside it are: the last of the stage's files.

    Args:
        taken: each fold's strips with their codes.
        made_by: each fold's networks with their weights' hashes, and the strips that the fold validates on.
    """
    folds = [
        FoldRecord(members=hashes, held_out=_identity(held_out), taken=len(codes), table=file_hash(paths.labels(k)))
        for k, (codes, (hashes, held_out)) in enumerate(zip(taken, made_by, strict=True))
    ]
    names = sorted(set().union(*taken))
    record = Record(
        images=str(images),
        strips=listing_hash(images, names),
        folds=tuple(folds),
        counts=counts,
        area_weight=area_weight,
    )
    artifact.write_record(record.model_dump())


def read_record(paths: PseudoPaths) -> Record:
    """The record.

    Raises:
        InputError: if it is missing or not what the stage writes.
    """
    return read_model(paths.record, Record, REMAKE)


def read(folder: Path, fold: int, held_out: list[str], height: int, width: int) -> Pseudo:
    """The pseudo-labels that a fold may train on.

    Args:
        held_out: the strips that the fold validates on.

    Raises:
        InputError: if they are missing, were changed, or were made by networks that may have trained on one of
            ``held_out``.
    """
    paths = PseudoPaths(folder)
    record = read_record(paths)
    if fold >= len(record.folds) or record.folds[fold].held_out != _identity(held_out):
        raise InputError(
            f"{paths.record}: the networks that made {paths.labels(fold).name} were not held back from the strips that "
            f"fold {fold} validates on now, so their labels would leak into its score: give both experiments the same "
            f"folds.csv, or make pseudo-labels with this one (`{REMAKE}`), or train without (--pseudo-labels none)"
        )
    labels = [read_labels(_checked(paths, record, k), height, width) for k in range(len(record.folds))]
    images = sorted(set().union(*labels))
    if _listing(Path(record.images), images) != record.strips:
        raise InputError(f"{record.images} holds other strips than {paths.record} was made of: run `{REMAKE}` again")
    marked = {MARK + image: codes for image, codes in labels[fold].items()}
    return Pseudo(
        Path(record.images),
        images,
        marked,
        fingerprint(record.folds[fold].table, _listing(Path(record.images), list(labels[fold]))),
    )


def _checked(paths: PseudoPaths, record: Record, fold: int) -> Path:
    """A fold's table, which must be the recorded one."""
    path = paths.labels(fold)
    if not path.exists():
        raise InputError(f"{path} is missing: delete {paths.record} and run `{REMAKE}`")
    if file_hash(path) != record.folds[fold].table:
        raise InputError(f"{path} was changed after it was made: delete {paths.record} and run `{REMAKE}`")
    return path


def _identity(held_out: list[str]) -> str:
    return fingerprint(sorted(held_out))


def _listing(folder: Path, images: list[str]) -> str:
    try:
        return listing_hash(folder, images)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} is missing: restore the strip, or run `{REMAKE}` again") from None
