"""Synthetic steel: a small data set in the competition's form, to run everything without Kaggle's files.

Writes ``train_images/``, ``train.csv`` (defects only, as Kaggle gives it), ``test_images/``,
``sample_submission.csv``, ``test_truth.csv`` (the truth of the test part, in the form of train.csv) and,
last, ``SYNTHETIC.json``: where that lies, the set is complete. Scores on it are scores on synthetic steel, never
Severstal's.

Promises that the same seed gives the same bytes whatever the number of workers; that classes have the
competition's frequencies, rounded, but that each class is on at least 8 train and 2 test strips (in small
parts on an eighth of them, at least one where there are eight), so that every class can be learned and tuned;
that some 1.5 % of the train strips (one at least, from 16 strips on) are near-copies of another one with a
mask drawn anew; that real data is never overwritten.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from severstal.artifacts import write_json, write_text
from severstal.errors import InputError
from severstal.synthetic.plan import TEST, TRAIN, Strip, plan

VERSION = 1
MARKER = "SYNTHETIC.json"
BUILDING = ".synthetic"  # inside the folder, so that moving the parts out of it is a rename
PARTS = ("train_images", "test_images", "train.csv", "test_truth.csv", "sample_submission.csv", MARKER)


def write(folder: Path, *, train: int, test: int, seed: int, workers: int = 2) -> None:
    """Write a synthetic data set of ``train`` and ``test`` strips into ``folder``.

    Raises:
        InputError: if the folder holds data already, a count is below one or the seed below zero.
    """
    if min(train, test, workers) < 1:
        raise InputError(f"train, test and workers take at least 1, not {train}, {test} and {workers}")
    if seed < 0:
        raise InputError(f"seed takes 0 or more, not {seed}")
    finish_interrupted(folder)
    if held := holdings(folder):
        raise InputError(f"{folder} holds {held[0]} already: choose another folder, or empty this one")
    building = folder / BUILDING
    shutil.rmtree(building, ignore_errors=True)
    strips = plan(train, test, seed)
    labels = _draw_all(building, strips, seed, workers)
    _write_tables(building, strips, labels)
    write_json(building / MARKER, parameters(train, test, seed))
    finish_interrupted(folder)


def parameters(train: int, test: int, seed: int) -> dict[str, Any]:
    """What the marker file says of a set made from these values."""
    return {"synthetic": True, "seed": seed, "train": train, "test": test, "version": VERSION}


def marker(folder: Path) -> dict[str, Any] | None:
    """What the folder's synthetic set was made from; None where it holds none.

    Raises:
        InputError: if the marker file cannot be read.
    """
    path = folder / MARKER
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is no valid JSON: delete the content of {folder}, make it anew") from None


def holdings(folder: Path) -> list[str]:
    """Names of data that the folder holds: parts of a data set or a zip file; empty folders do not count."""
    named = [part for part in PARTS if _counts(folder / part)]
    return named + sorted(path.name for path in folder.glob("*.zip"))


def finish_interrupted(folder: Path) -> None:
    """Move a completely built set into place, whether it was just built or a run was stopped while moving.

    Every part is either still in the building folder or in place already, and the marker comes last.
    """
    building = folder / BUILDING
    if not (building / MARKER).is_file():
        return
    waiting = [part for part in PARTS if (building / part).exists()]
    if taken := [part for part in waiting if _counts(folder / part)]:
        raise InputError(f"{folder} holds {taken[0]} and an unfinished synthetic set in {building}: delete one")
    for part in waiting:
        (building / part).rename(folder / part)
    building.rmdir()


def _counts(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _draw_all(building: Path, strips: list[Strip], seed: int, workers: int) -> list[dict[int, str]]:
    from joblib import Parallel, delayed  # slow to import, and most callers only ask for the marker

    for part in ("train_images", "test_images"):
        (building / part).mkdir(parents=True)
    batches = np.array_split(np.arange(len(strips)), min(len(strips), 4 * workers))
    jobs = (delayed(_draw_batch)(building, [strips[i] for i in batch], seed) for batch in batches)
    return [labels for batch in Parallel(n_jobs=workers)(jobs) for labels in batch]


def _draw_batch(building: Path, strips: list[Strip], seed: int) -> list[dict[int, str]]:
    from severstal.synthetic.strip import save

    return [
        save(
            building / ("train_images" if strip.part == TRAIN else "test_images") / strip.name,
            classes=strip.classes,
            look=np.random.default_rng([seed, strip.part, strip.source, 0]),
            hand=np.random.default_rng([seed, strip.part, strip.number, 1]),
            near_copy=strip.source != strip.number,
        )
        for strip in strips
    ]


def _write_tables(building: Path, strips: list[Strip], labels: list[dict[int, str]]) -> None:
    order = sorted(range(len(strips)), key=lambda index: strips[index].name)
    for part, name in ((TRAIN, "train.csv"), (TEST, "test_truth.csv")):
        rows = [
            (strips[i].name, class_id, code) for i in order if strips[i].part == part
            for class_id, code in sorted(labels[i].items())
        ]  # fmt: skip
        _write_csv(building / name, ("ImageId", "ClassId", "EncodedPixels"), rows)
    sample = [(strips[i].name, "1 409600", 0) for i in order if strips[i].part == TEST]
    _write_csv(building / "sample_submission.csv", ("ImageId", "EncodedPixels", "ClassId"), sample)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    from io import StringIO

    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
