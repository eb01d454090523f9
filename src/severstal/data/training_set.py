"""The training set of an experiment: strips, labels and split, read together and checked against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from severstal.artifacts import file_hash, fingerprint, listing_hash
from severstal.commands import command
from severstal.data import pseudo_labels, split, strips
from severstal.data.labels import Labels, read_labels
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.recipe import NO_PSEUDO_LABELS


@dataclass(frozen=True)
class TrainingSet:
    """The training strips with their labels and folds.

    Attributes:
        height, width: of every strip.
        split: table of :func:`severstal.data.split.assign_folds`.
        fingerprint: of labels, split and strips.
        pseudo: pseudo-labelled strips that one fold trains on beside its own; no fold validates on them.
    """

    paths: Paths
    height: int
    width: int
    labels: Labels
    split: pd.DataFrame
    fingerprint: str
    pseudo: pseudo_labels.PseudoLabels | None = None

    def with_pseudo_labels(self, folder: str, fold: int) -> TrainingSet:
        """A copy with one fold's pseudo-labels of a folder; unchanged where the folder is ``none``.

        Raises:
            InputError: if they are missing or damaged, or their networks may have trained on strips that this fold
                validates on.
        """
        if folder == NO_PSEUDO_LABELS:
            return self
        held_out, remake = self.images(fold, held_out=True), command(self.paths, "pseudo")
        pseudo = pseudo_labels.read(Path(folder), fold, held_out, self.height, self.width, remake)
        return replace(self, pseudo=pseudo, fingerprint=fingerprint(self.fingerprint, pseudo.fingerprint))

    def images(self, fold: int, *, held_out: bool) -> list[str]:
        """Names of the strips that a fold validates on (``held_out``) or trains on.

        Raises:
            InputError: if there is no such fold.
        """
        known = sorted(self.split["fold"].unique())
        if fold not in known:
            raise InputError(f"there is no fold {fold} in {self.paths.folds_csv}: it has {known[0]} to {known[-1]}")
        return self.split["ImageId"][(self.split["fold"] == fold) == held_out].tolist()

    def measure_grey(self, images: list[str], limit: int = 400) -> tuple[float, float]:
        """Mean and standard deviation of the grey level (0 to 1) of the steel of evenly chosen strips, without bars."""
        chosen = np.unique(np.linspace(0, len(images) - 1, min(limit, len(images))).astype(int))
        count, total, squares = 0, 0.0, 0.0
        for image in (images[i] for i in chosen):
            strip = strips.read(self.paths.train_images / image, (self.height, self.width))
            first, last = strips.steel_columns(strip)
            steel = strip[:, first:last].astype(np.float64) / 255
            count, total, squares = count + steel.size, total + steel.sum(), squares + np.square(steel).sum()
        mean = total / count
        return round(mean, 4), round(max(math.sqrt(max(squares / count - mean**2, 0)), 0.01), 4)


def read_training_set(paths: Paths) -> TrainingSet:
    """Read labels, names of the strips and the frozen split.

    Raises:
        InputError: if one is missing or damaged, or they do not name the same strips.
    """
    frame = split.read(paths)
    images = strips.listing(paths.train_images)
    split.check_covers(frame, paths.folds_csv, images)
    height, width = strips.read(paths.train_images / images[0]).shape
    labels = read_labels(paths.train_csv, height, width, images)
    content = fingerprint(
        file_hash(paths.train_csv), file_hash(paths.folds_csv), listing_hash(paths.train_images, images)
    )
    return TrainingSet(paths, height, width, labels, frame, content)
