"""The training set of an experiment: its strips, labels and split, read together and checked against each other."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from severstal import folds, strips
from severstal.artifacts import file_hash, fingerprint, listing_hash
from severstal.errors import InputError
from severstal.labels import Labels, read_labels
from severstal.paths import Paths


@dataclass(frozen=True)
class TrainingSet:
    """What the later stages need to know of the training strips."""

    paths: Paths
    height: int
    width: int
    labels: Labels
    split: pd.DataFrame
    fingerprint: str

    def images(self, fold: int, *, held_out: bool) -> list[str]:
        """Strips that a fold validates on (``held_out``) or trains on.

        Raises:
            InputError: if there is no such fold.
        """
        known = sorted(self.split["fold"].unique())
        if fold not in known:
            raise InputError(f"there is no fold {fold} in {self.paths.folds_csv}: it has {known[0]} to {known[-1]}")
        return self.split["ImageId"][(self.split["fold"] == fold) == held_out].tolist()


def read_training_set(paths: Paths) -> TrainingSet:
    """Read labels, strips' names and the frozen split.

    Raises:
        InputError: if one is missing or they do not belong together.
    """
    split = folds.read(paths.folds_csv)
    images = strips.listing(paths.train_images)
    folds.check_covers(split, paths.folds_csv, images)
    height, width = strips.read(paths.train_images / images[0]).shape
    labels = read_labels(paths.train_csv, height, width, images)
    made_from = fingerprint(
        file_hash(paths.train_csv), file_hash(paths.folds_csv), listing_hash(paths.train_images, images)
    )
    return TrainingSet(paths, height, width, labels, split, made_from)
