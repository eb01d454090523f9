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

from severstal import engines, folds, recipe, strips
from severstal.data import TrainingSet
from severstal.errors import InputError
from severstal.labels import CLASSES, masks
from severstal.member import Member, members
from severstal.metric import dice
from severstal.oof import OutOfFold
from severstal.paths import Paths
from severstal.postprocess import Choice, Tuning
from severstal.prediction import in_batches
from severstal.sureness import Judged, Limits, judge
from severstal.team import check_ready

BATCH = 4  # strips per call of an engine


@dataclass(frozen=True)
class Labeller:
    """One fold's networks, and their blend and cuts as chosen without the strips held out from them."""

    fold: int
    team: list[Member]
    choice: Choice

    @property
    def weights(self) -> list[int]:
        return [self.choice.blend[member.encoder] for member in self.team]


@dataclass(frozen=True)
class Labelling:
    """The labellers of every fold, and how sure they have to be."""

    data: TrainingSet
    source: OutOfFold
    labellers: list[Labeller]
    limits: Limits

    @classmethod
    def of(cls, paths: Paths, data: TrainingSet, values: Tuning, limits: Limits) -> Labelling:
        """Each fold's networks: finished, exported, and held back from the strips that the split says.

        Raises:
            InputError: if one is not, or the tuned values do not tell what was chosen without each fold.
        """
        chosen = recipe.read(paths.recipe)
        known = members(paths, chosen)
        folds.check_count(data.split, paths.folds_csv, chosen.folds)
        source = OutOfFold(data, known)
        if len(values.held_out) != chosen.folds:
            raise InputError(f"{paths.postprocess} lacks the values chosen without each fold: run `bash bin/tune.sh`")
        made = []
        for fold, choice in enumerate(values.held_out):
            team = [member for member in known if member.fold == fold and choice.blend.get(member.encoder)]
            for member in team:
                check_ready(member, values)
            made.append(Labeller(fold, team, choice))
        return cls(data, source, made, limits)

    def judge(self, folder: Path, images: list[str], engine: str) -> Iterator[tuple[str, int, Judged]]:
        """Yield every strip of a folder with every fold and its networks' judgement."""
        runtime = engines.runtime(engine)
        loaded = [[runtime.load(member) for member in one.team] for one in self.labellers]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for batch in in_batches(images, BATCH):
                read = np.stack([strips.read_sized(folder / image, *self.size) for image in batch])
                steel, jobs = [strips.steel_columns(strip) for strip in read], []
                for one, networks in zip(self.labellers, loaded, strict=True):
                    maps, presences = zip(*(network(read) for network in networks), strict=True)
                    for row, image in enumerate(batch):
                        answers = [found[row] for found in maps], [found[row] for found in presences]
                        job = pool.submit(judge, *answers, one.weights, one.choice.cuts, self.limits, steel[row])
                        jobs.append((image, one.fold, job))
                yield from ((image, fold, job.result()) for image, fold, job in jobs)

    def judge_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Which labelled strips would be taken, ``bool [n]``, and the Dice of every one's masks, ``float64 [n, 4]``."""

        def one(labeller: Labeller, image: str) -> tuple[bool, np.ndarray]:
            answers = zip(
                self.source.maps(labeller.fold, image), self.source.presences(labeller.fold, image), strict=True
            )
            of_encoder = dict(zip(self.source.encoders, answers, strict=True))
            maps, presences = zip(*(of_encoder[member.encoder] for member in labeller.team), strict=True)
            steel = strips.steel_columns(strips.read_sized(self.data.paths.train_images / image, *self.size))
            judged = judge(maps, presences, labeller.weights, labeller.choice.cuts, self.limits, steel)
            return judged.is_sure, dice(judged.masks, masks(self.data.labels[image], *self.size))

        jobs = (
            delayed(one)(labeller, image)
            for labeller in self.labellers
            for image in self.data.images(labeller.fold, held_out=True)
        )
        sure, dices = zip(*Parallel(n_jobs=os.cpu_count(), prefer="threads")(jobs), strict=True)
        return np.array(sure), np.array(dices).reshape(-1, len(CLASSES))

    def twins(self, folder: Path, images: list[str]) -> list[str]:
        """Strips that are near-duplicates of a labelled one: they have a label, and some fold validates on it."""
        workers, labelled = os.cpu_count() or 1, self.data.paths.train_images
        own = folds.thumbnails_of(folder, images, *self.size, workers)
        others = folds.thumbnails_of(labelled, sorted(self.data.labels), *self.size, workers)
        return [images[i] for i in np.flatnonzero(folds.have_twins(own, others))]

    @property
    def size(self) -> tuple[int, int]:
        return self.data.height, self.data.width
