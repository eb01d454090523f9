"""The training set of an experiment: its strips, labels and split, read together and checked against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from severstal.artifacts import file_hash, fingerprint, listing_hash
from severstal.data import pseudo_labels, split, strips
from severstal.data.labels import Labels, read_labels
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.recipe import NO_PSEUDO_LABELS


@dataclass(frozen=True)
class TrainingSet:
    """What the later stages need to know of the training strips.

    Attributes:
        pseudo: strips with pseudo-labels that one fold may train on beside its own; no fold validates on them.
    """

    paths: Paths
    height: int
    width: int
    labels: Labels
    split: pd.DataFrame
    fingerprint: str
    pseudo: pseudo_labels.Pseudo | None = None

    def with_pseudo_labels(self, folder: str, fold: int) -> TrainingSet:
        """The same with the pseudo-labels of a folder that are one fold's own (``none``: as it is).

        Raises:
            InputError: if they are missing, damaged, or not made for what this fold validates on.
        """
        if folder == NO_PSEUDO_LABELS:
            return self
        made = pseudo_labels.read(Path(folder), fold, self.images(fold, held_out=True), self.height, self.width)
        return replace(self, pseudo=made, fingerprint=fingerprint(self.fingerprint, made.fingerprint))

    def images(self, fold: int, *, held_out: bool) -> list[str]:
        """Strips that a fold validates on (``held_out``) or trains on.

        Raises:
            InputError: if there is no such fold.
        """
        known = sorted(self.split["fold"].unique())
        if fold not in known:
            raise InputError(f"there is no fold {fold} in {self.paths.folds_csv}: it has {known[0]} to {known[-1]}")
        return self.split["ImageId"][(self.split["fold"] == fold) == held_out].tolist()

    def measure_grey(self, images: list[str], limit: int = 400) -> tuple[float, float]:
        """Mean and standard deviation of the steel of evenly chosen strips, as shares of 255; bars are left out."""
        chosen = np.unique(np.linspace(0, len(images) - 1, min(limit, len(images))).astype(int))
        count, total, squares = 0, 0.0, 0.0
        for image in (images[i] for i in chosen):
            strip = strips.read_sized(self.paths.train_images / image, self.height, self.width)
            first, last = strips.steel_columns(strip)
            steel = strip[:, first:last].astype(np.float64) / 255
            count, total, squares = count + steel.size, total + steel.sum(), squares + np.square(steel).sum()
        mean = total / count
        return round(mean, 4), round(max(math.sqrt(max(squares / count - mean**2, 0)), 0.01), 4)


def read_training_set(paths: Paths) -> TrainingSet:
    """Read labels, strips' names and the frozen split.

    Raises:
        InputError: if one is missing or they do not belong together.
    """
    frame = split.read(paths.folds_csv)
    images = strips.listing(paths.train_images)
    split.check_covers(frame, paths.folds_csv, images)
    height, width = strips.read(paths.train_images / images[0]).shape
    labels = read_labels(paths.train_csv, height, width, images)
    made_from = fingerprint(
        file_hash(paths.train_csv), file_hash(paths.folds_csv), listing_hash(paths.train_images, images)
    )
    return TrainingSet(paths, height, width, labels, frame, made_from)
