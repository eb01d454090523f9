"""Labelling of strips fold by fold: each fold's networks, which never saw its validation strips, judge every strip.

The strips held out from a fold are judged in the same way by its own networks: as their labels are known, they tell
what such labels are worth.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from severstal import recipe
from severstal.data import near_duplicates, split, strips
from severstal.data.labels import CLASSES, masks
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import TrainingSet
from severstal.engines import catalog
from severstal.engines.base import BATCH_SIZE
from severstal.errors import InputError
from severstal.experiment import Member, all_members
from severstal.inference.confidence import Assessment, Limits, assess
from severstal.inference.members import check_ready
from severstal.inference.prediction import in_batches
from severstal.paths import Paths
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import Choice, TunedValues


@dataclass(frozen=True)
class Labeller:
    """One fold's networks, and their blend and cuts as chosen without the strips held out from them."""

    fold: int
    members: list[Member]
    choice: Choice

    @property
    def weights(self) -> list[int]:
        return [self.choice.ensemble_weights[member.encoder] for member in self.members]


@dataclass(frozen=True)
class Labelling:
    """The labellers of every fold, and how sure they have to be."""

    data: TrainingSet
    source: EnsembleMaps
    labellers: list[Labeller]
    limits: Limits

    @classmethod
    def of(cls, paths: Paths, data: TrainingSet, values: TunedValues, limits: Limits) -> Labelling:
        """Each fold's networks: finished, exported, and held back from the strips that the split says.

        Raises:
            InputError: if one is not, or the tuned values do not tell what was chosen without each fold.
        """
        chosen = recipe.read(paths.recipe)
        known = all_members(paths, chosen)
        split.check_count(data.split, paths.folds_csv, chosen.num_folds)
        source = EnsembleMaps(data, known)
        if len(values.nested) != chosen.num_folds:
            raise InputError(f"{paths.postprocess} lacks the values chosen without each fold: run `bash bin/tune.sh`")
        made = []
        for fold, choice in enumerate(values.nested):
            members = [
                member for member in known if member.fold == fold and choice.ensemble_weights.get(member.encoder)
            ]
            for member in members:
                check_ready(member, values)
            made.append(Labeller(fold, members, choice))
        return cls(data, source, made, limits)

    def assess(self, folder: Path, images: list[str], engine: str) -> Iterator[tuple[str, int, Assessment]]:
        """Yield every strip of a folder with every fold and its networks' judgement."""
        runtime = catalog.engine_class(engine)
        loaded = [[runtime.load(member) for member in one.members] for one in self.labellers]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for batch in in_batches(images, BATCH_SIZE):
                read = np.stack([strips.read_sized(folder / image, *self.size) for image in batch])
                steel, jobs = [strips.steel_columns(strip) for strip in read], []
                for one, networks in zip(self.labellers, loaded, strict=True):
                    maps, class_probabilities = zip(*(network(read) for network in networks), strict=True)
                    for row, image in enumerate(batch):
                        answers = [found[row] for found in maps], [found[row] for found in class_probabilities]
                        job = pool.submit(assess, *answers, one.weights, one.choice.rules, self.limits, steel[row])
                        jobs.append((image, one.fold, job))
                yield from ((image, fold, job.result()) for image, fold, job in jobs)

    def assess_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Which labelled strips would be taken, ``bool [n]``, and the Dice of every one's masks, ``float64 [n, 4]``."""

        def one(labeller: Labeller, image: str) -> tuple[bool, np.ndarray]:
            answers = zip(
                self.source.maps(labeller.fold, image),
                self.source.class_probabilities(labeller.fold, image),
                strict=True,
            )
            of_encoder = dict(zip(self.source.encoders, answers, strict=True))
            maps, class_probabilities = zip(*(of_encoder[member.encoder] for member in labeller.members), strict=True)
            steel = strips.steel_columns(strips.read_sized(self.data.paths.train_images / image, *self.size))
            assessment = assess(maps, class_probabilities, labeller.weights, labeller.choice.rules, self.limits, steel)
            return assessment.is_sure, dice(assessment.masks, masks(self.data.labels[image], *self.size))

        jobs = (
            delayed(one)(labeller, image)
            for labeller in self.labellers
            for image in self.data.images(labeller.fold, held_out=True)
        )
        sure, dices = zip(*Parallel(n_jobs=os.cpu_count(), prefer="threads")(jobs), strict=True)
        return np.array(sure), np.array(dices).reshape(-1, len(CLASSES))

    def near_duplicates_of_labelled(self, folder: Path, images: list[str]) -> list[str]:
        """Strips that are near-duplicates of a labelled one: they have a label, and some fold validates on it."""
        workers, labelled = os.cpu_count() or 1, self.data.paths.train_images
        own = near_duplicates.read_thumbnails(folder, images, *self.size, workers)
        others = near_duplicates.read_thumbnails(labelled, sorted(self.data.labels), *self.size, workers)
        return [images[i] for i in np.flatnonzero(near_duplicates.has_near_duplicate(own, others))]

    @property
    def size(self) -> tuple[int, int]:
        return self.data.height, self.data.width
