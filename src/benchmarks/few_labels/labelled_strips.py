"""Labelled strips in folds, and the small training sets that are chosen from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from severstal.artifacts import file_hash, fingerprint, listing_hash
from severstal.data import near_duplicates, split, strips
from severstal.data.labels import Labels, read_labels
from severstal.hardware import core_count
from severstal.paths import Paths

HELD_OUT, TRAINED_ON = 0, 1  # folds of a small training set


@dataclass(frozen=True)
class LabelledStrips:
    """The strips of a folder and their labels.

    Attributes:
        fold: of each strip, by its name; near-duplicates are in one fold.
        key: beginning of the fingerprint of strips, labels and number of folds.
    """

    folder: Path
    labels: Labels
    fold: dict[str, int]
    key: str

    @classmethod
    def read(cls, paths: Paths, num_folds: int) -> LabelledStrips:
        """Read ``train_images/`` and ``train.csv``, and split as :mod:`severstal.data.split` does, with seed 0.

        Raises:
            InputError: if strips or labels are missing or damaged, or there are too few strips for the folds.
        """
        images = strips.listing(paths.train_images)
        height, width, groups = near_duplicates.scan(paths.train_images, images, core_count())
        labels = read_labels(paths.train_csv, height, width, images)
        frame = split.assign_folds(labels, groups, num_folds, seed=0)
        key = fingerprint(listing_hash(paths.train_images, images), file_hash(paths.train_csv), num_folds)[:8]
        return cls(paths.train_images, labels, dict(zip(frame["ImageId"], frame["fold"], strict=True)), key)

    def held_out(self, fold: int) -> list[str]:
        """The strips of a fold."""
        return [image for image in sorted(self.labels) if self.fold[image] == fold]

    def choose(self, count: int, fold: int, seed: int) -> list[str]:
        """Strips of the other folds, drawn at random; all of them where there are not so many."""
        others = [image for image in sorted(self.labels) if self.fold[image] != fold]
        return [others[place] for place in np.random.default_rng([seed, fold]).permutation(len(others))[:count]]


def write_training_set(
    paths: Paths, source: LabelledStrips, held_out: list[str], chosen: list[str], synthetic: list[Path], labels: Labels
) -> None:
    """Write links to strips, their labels, and a split whose fold 0 is held out and whose fold 1 is trained on.

    Args:
        synthetic: strips to train on beside the chosen ones, which are repeated until they are as many.
        labels: of the synthetic strips, by file name.
    """
    repeats = max(round(len(synthetic) / len(chosen)), 1) if chosen else 0
    rows = [(image, HELD_OUT, source.folder / image, source.labels[image]) for image in held_out]
    for number in range(repeats):
        rows += [(f"{number}-{image}", TRAINED_ON, source.folder / image, source.labels[image]) for image in chosen]
    rows += [(f"synthetic-{file.name}", TRAINED_ON, file, labels[file.name]) for file in synthetic]
    paths.train_images.mkdir(parents=True)
    paths.folds.mkdir(parents=True)
    for image, _, file, _ in rows:
        (paths.train_images / image).symlink_to(file)
    codes = [(image, defect, code) for image, _, _, shown in rows for defect, code in shown.items()]
    _write(paths.train_csv, ["ImageId", "ClassId", "EncodedPixels"], codes)
    folds = [(image, fold, " ".join(map(str, shown)), group) for group, (image, fold, _, shown) in enumerate(rows)]
    _write(paths.folds_csv, split.COLUMNS, folds)


def _write(path: Path, columns: list[str], rows: Iterable[tuple]) -> None:
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
