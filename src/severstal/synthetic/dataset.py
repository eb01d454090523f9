"""A synthetic data set in the competition's form, to run everything without Kaggle's files.

Writes ``train_images/``, ``train.csv`` (defects only, as Kaggle's), ``test_images/``, ``sample_submission.csv``,
``test_truth.csv`` (the true labels of the test part, in the form of train.csv) and, last, the marker
``SYNTHETIC.json``. Scores on such a set are scores on synthetic steel, not on Severstal's.

* The same seed gives the same bytes with any number of workers.
* Classes have the competition's frequencies, rounded, but each class is on at least 8 train and 2 test strips (in small
  parts on an eighth of them), so that every class can be learned and tuned.
* Some 1.5 % of the train strips (at least one of 16 or more) are near-duplicates of another strip with a mask of their
  own.
* Existing data is never overwritten.
"""

from __future__ import annotations

import csv
import shutil
from io import StringIO
from pathlib import Path

import numpy as np

from severstal.artifacts import Artifact, write_text
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.processes import process_pool
from severstal.synthetic.plan import TEST, TRAIN, PlannedStrip, plan
from severstal.synthetic.variety import VARIETIES

VERSION = 1  # of the drawing: raised when the same seed gives other strips


def artifact(folder: Path, train: int, test: int, seed: int, variety: str = "plain") -> Artifact:
    """The data set in a folder; its record is the marker file. Its many files are not hashed."""
    values: dict[str, int | str] = {"train": train, "test": test, "seed": seed}
    if variety != "plain":  # sets drawn before there were two settings are plain
        values["variety"] = variety
    return Artifact(Paths(folder).synthetic_marker, values, VERSION)


def write(folder: Path, *, train: int, test: int, seed: int, variety: str = "plain", workers: int = 2) -> None:
    """Write a synthetic data set of ``train`` and ``test`` strips into ``folder``.

    Args:
        variety: ``plain``, or ``wide`` for networks that shall work on real strips.

    Raises:
        InputError: if the folder holds data already, a count is below one or the seed below zero.
    """
    if min(train, test, workers) < 1:
        raise InputError(f"train, test and workers take at least 1, not {train}, {test} and {workers}")
    if seed < 0:
        raise InputError(f"seed takes 0 or more, not {seed}")
    finish_interrupted(folder)
    if existing := existing_data(folder):
        raise InputError(f"{folder} holds {existing[0]} already: choose another folder, or empty this one")
    building = Paths(Paths(folder).synthetic_build)
    shutil.rmtree(building.input, ignore_errors=True)
    strips = plan(train, test, seed, VARIETIES[variety].name_key)
    labels = _draw_all(building, strips, seed, variety, workers)
    _write_tables(building, strips, labels)
    artifact(building.input, train, test, seed, variety).write_record({"synthetic": True})
    finish_interrupted(folder)


def existing_data(folder: Path) -> list[str]:
    """Names of the parts of a data set, and of zip files, in a folder; empty folders do not count."""
    parts = [part.name for part in _parts(Paths(folder)) if _has_content(part)]
    return parts + sorted(path.name for path in folder.glob("*.zip"))


def is_unfinished(folder: Path) -> bool:
    """Whether a run was stopped while it drew the set or moved its parts, or is doing so now."""
    return Paths(folder).synthetic_build.exists()


def finish_interrupted(folder: Path) -> None:
    """Move a completely drawn set into place, whether it was just drawn or a run stopped while it moved the parts.

    Every part is either in the building folder or in its place, and the marker is moved last.

    Raises:
        InputError: if the folder holds other data, which would be overwritten.
    """
    paths = Paths(folder)
    building = Paths(paths.synthetic_build)
    if not building.is_synthetic:
        return
    moves = [pair for pair in zip(_parts(building), _parts(paths), strict=True) if pair[0].exists()]
    if occupied := [target for _, target in moves if _has_content(target)]:
        raise InputError(
            f"{folder} holds {occupied[0].name} and an unfinished synthetic set in {building.input}: delete one"
        )
    for source, target in moves:
        source.rename(target)
    building.input.rmdir()


def _parts(paths: Paths) -> list[Path]:
    """Files and folders of a data set in the order in which they are moved into place."""
    tables = [paths.train_csv, paths.test_truth, paths.sample_submission]
    return [paths.train_images, paths.test_images, *tables, paths.synthetic_marker]


def _has_content(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _images(paths: Paths, part: int) -> Path:
    return paths.train_images if part == TRAIN else paths.test_images


def _draw_all(paths: Paths, strips: list[PlannedStrip], seed: int, variety: str, workers: int) -> list[dict[int, str]]:
    from joblib import Parallel, delayed  # takes a while to import, and most callers only ask for the marker

    for part in (TRAIN, TEST):
        _images(paths, part).mkdir(parents=True)
    batches = np.array_split(np.arange(len(strips)), min(len(strips), 4 * workers))
    jobs = (delayed(_draw_batch)(paths, [strips[i] for i in batch], seed, variety) for batch in batches)
    with process_pool():
        return [labels for batch in Parallel(n_jobs=workers)(jobs) for labels in batch]


def _draw_batch(paths: Paths, strips: list[PlannedStrip], seed: int, variety: str) -> list[dict[int, str]]:
    from severstal.synthetic.strip import save

    return [
        save(
            _images(paths, strip.part) / strip.name,
            classes=strip.classes,
            appearance=np.random.default_rng([seed, strip.part, strip.source, 0]),
            labeller=np.random.default_rng([seed, strip.part, strip.number, 1]),
            near_duplicate=strip.source != strip.number,
            variety=variety,
        )
        for strip in strips
    ]


def _write_tables(paths: Paths, strips: list[PlannedStrip], labels: list[dict[int, str]]) -> None:
    order = sorted(range(len(strips)), key=lambda index: strips[index].name)
    for part, table in ((TRAIN, paths.train_csv), (TEST, paths.test_truth)):
        rows = [
            (strips[i].name, class_id, code) for i in order if strips[i].part == part
            for class_id, code in sorted(labels[i].items())
        ]  # fmt: skip
        _write_csv(table, ("ImageId", "ClassId", "EncodedPixels"), rows)
    sample = [(strips[i].name, "1 409600", 0) for i in order if strips[i].part == TEST]
    _write_csv(paths.sample_submission, ("ImageId", "EncodedPixels", "ClassId"), sample)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
