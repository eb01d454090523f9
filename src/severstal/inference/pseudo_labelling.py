"""Pseudo-labelling: the networks of each fold predict and assess every strip of a folder.

A fold's networks never saw the strips that the fold validates on, and neither did the post-processing values that are
used here, so nothing leaks into the score of a network of this fold that trains with the labels. The networks label
the strips held out from them in the same way; as the truth of these is known, they show how good such labels are.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from severstal import recipe
from severstal.commands import command
from severstal.data import near_duplicates, split, strips
from severstal.data.labels import CLASSES, masks
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import TrainingSet
from severstal.engines import catalog
from severstal.engines.refusal import check_not_refused
from severstal.errors import InputError
from severstal.experiment import Member, all_members
from severstal.hardware import core_count
from severstal.inference.assessment import Assessment, Limits, assess
from severstal.inference.members import check_ready
from severstal.inference.prediction import batch_size, in_batches
from severstal.paths import Paths
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import Choice, TunedValues


@dataclass(frozen=True)
class FoldLabeller:
    """The networks of one fold, with the ensemble weights and rules that were chosen without its validation strips."""

    fold: int
    members: list[Member]
    choice: Choice

    @property
    def weights(self) -> list[int]:
        """Weight of each member in their mean."""
        return [self.choice.ensemble_weights[member.encoder] for member in self.members]


@dataclass(frozen=True)
class Labeller:
    """The labellers of all folds, and the limits of what they accept."""

    data: TrainingSet
    out_of_fold: EnsembleMaps
    folds: list[FoldLabeller]
    limits: Limits

    @classmethod
    def of(cls, paths: Paths, data: TrainingSet, tuned: TunedValues, limits: Limits) -> Labeller:
        """Find the networks of each fold.

        Raises:
            InputError: if a network is missing or not exported, or the tuned values lack the choices of the folds.
        """
        chosen = recipe.read(paths)
        members = all_members(paths, chosen)
        split.check_count(data.split, paths.folds_csv, chosen.num_folds)
        out_of_fold = EnsembleMaps(data, members)
        if len(tuned.nested) != chosen.num_folds:
            remake = command(paths, "tune")
            raise InputError(f"{paths.postprocess} lacks the values chosen without each fold: run `{remake}`")
        folds = []
        for fold, choice in enumerate(tuned.nested):
            used = [m for m in members if m.fold == fold and choice.ensemble_weights.get(m.encoder)]
            for member in used:
                check_ready(member, tuned)
            folds.append(FoldLabeller(fold, used, choice))
        return cls(data, out_of_fold, folds, limits)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the strips."""
        return self.data.height, self.data.width

    def assess(self, folder: Path, images: list[str], engine: str) -> Iterator[tuple[str, int, Assessment]]:
        """Yield a strip's name, a fold, and the assessment by the fold's networks, for every strip and fold.

        Raises:
            InputError: naming the first strip that is corrupt or of another size, or why an engine was refused.
        """
        for member in (member for fold in self.folds for member in fold.members):
            check_not_refused(member, engine)
        engine_class = catalog.engine_class(engine)
        engines = [[engine_class.load(member) for member in fold.members] for fold in self.folds]
        with ThreadPoolExecutor(core_count()) as pool:
            for batch in in_batches(images, batch_size(*self.size)):
                read = np.stack([strips.read(folder / image, self.size) for image in batch])
                steel = [strips.steel_columns(strip) for strip in read]
                jobs = []
                for fold, loaded in zip(self.folds, engines, strict=True):
                    maps, class_probabilities = zip(*(engine(read) for engine in loaded), strict=True)
                    for row, image in enumerate(batch):
                        answers = (
                            [of_member[row] for of_member in maps],
                            [of_member[row] for of_member in class_probabilities],
                        )
                        job = pool.submit(assess, *answers, fold.weights, fold.choice.rules, self.limits, steel[row])
                        jobs.append((image, fold.fold, job))
                yield from ((image, number, job.result()) for image, number, job in jobs)

    def assess_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Label the training strips by the networks that did not train on them.

        Returns:
            Which strips would be accepted, ``bool [n]``, and the Dice of every strip's masks, ``float64 [n, 4]``.
        """
        jobs = (
            delayed(self._assess_held_out)(fold, image)
            for fold in self.folds
            for image in self.data.images(fold.fold, held_out=True)
        )
        accepted, dices = zip(*Parallel(n_jobs=core_count(), prefer="threads")(jobs), strict=True)
        return np.array(accepted), np.array(dices).reshape(-1, len(CLASSES))

    def _assess_held_out(self, fold: FoldLabeller, image: str) -> tuple[bool, np.ndarray]:
        """Whether a training strip would be accepted, and the Dice of its masks, from its out-of-fold maps."""
        answers = zip(
            self.out_of_fold.maps(fold.fold, image),
            self.out_of_fold.class_probabilities(fold.fold, image),
            strict=True,
        )
        by_encoder = dict(zip(self.out_of_fold.encoders, answers, strict=True))
        maps, class_probabilities = zip(*(by_encoder[member.encoder] for member in fold.members), strict=True)
        steel = strips.steel_columns(strips.read(self.data.paths.train_images / image, self.size))
        assessment = assess(maps, class_probabilities, fold.weights, fold.choice.rules, self.limits, steel)
        return assessment.is_accepted, dice(assessment.masks, masks(self.data.labels[image], *self.size))

    def near_duplicates_of_labelled(self, folder: Path, images: list[str]) -> list[str]:
        """The strips that are near-duplicates of a labelled one: they have a label, and some fold validates on it."""
        workers, labelled = core_count(), self.data.paths.train_images
        own = near_duplicates.read_thumbnails(folder, images, *self.size, workers)
        others = near_duplicates.read_thumbnails(labelled, sorted(self.data.labels), *self.size, workers)
        return [images[i] for i in np.flatnonzero(near_duplicates.has_near_duplicate(own, others))]
