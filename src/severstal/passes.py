"""Passes over the out-of-fold maps of all strips: what tuning counts before it chooses, and scores after.

Strips are dealt into blocks, each within one fold. Threads share the blocks: decompression, compiled sweeps and OpenCV
let one another run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal import selection, sweep
from severstal.ensemble import mean_map
from severstal.labels import CLASSES
from severstal.metric import dice
from severstal.postprocess import SCORES, Cut, mask
from severstal.presence import CANDIDATES, Presence
from severstal.selection import Blocks

Blend = tuple[int, ...]
Key = tuple[Blend, int, Presence]  # of grids: a blend, a class from 0, a use of the classification head
Made = TypeVar("Made")

BLOCKS = 32  # in all, so that the spread between them says something
CHUNK = 64  # strips that one thread scores at a time


class Maps(Protocol):
    """Out-of-fold maps of an ensemble, and their truth."""

    encoders: list[str]
    has_heads: bool  # whether every network has a classification head
    folds: list[list[str]]  # images of each fold
    height: int
    width: int

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4, H, W]``."""
        ...

    def presences(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4]``."""
        ...

    def truth(self, image: str) -> dict[int, np.ndarray]:
        """Bool ``[H, W]`` of each class that occurs."""
        ...


@dataclass(frozen=True)
class Values:
    """A complete choice: how maps are averaged and cut."""

    blend: Blend
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class Block:
    """Some strips of one fold, swept together."""

    fold: int
    images: list[str]


def blocks_of(folds: list[list[str]]) -> list[Block]:
    """Each fold's strips dealt into blocks."""
    each = max(BLOCKS // len(folds), 1)
    dealt = [Block(fold, images[start::each]) for fold, images in enumerate(folds) for start in range(each)]
    return [block for block in dealt if block.images]


def sweep_blocks(source: Maps, blocks: list[Block], keys: list[Key], workers: int) -> dict[Key, Blocks]:
    """The whole grids over every strip, for each blend, class and use of the head that is asked for."""

    def of_block(block: Block) -> list[sweep.Grids]:
        workspace, grids = sweep.Workspace(source.height, source.width), [sweep.Grids() for _ in keys]
        for image in block.images:
            answers, truth = averages(source, block.fold, image, {blend for blend, _, _ in keys}), source.truth(image)
            for (blend, c, use), grid in zip(keys, grids, strict=True):
                averaged, sure = answers[blend]
                grid.add(workspace, use.applied(averaged[c], sure[c]), truth.get(c + 1), use.worth(int(sure[c])))
        return grids

    made = _over(of_block, blocks, workers, "sweep")
    counts, folds = np.array([len(block.images) for block in blocks]), np.array([block.fold for block in blocks])
    return {
        key: Blocks(
            {family: np.stack([getattr(grids[number], family) for grids in made]) for family in selection.FAMILIES},
            counts,
            folds,
        )
        for number, key in enumerate(keys)
    }


def sweep_uses(source: Maps, blocks: list[Block], blend: Blend, workers: int) -> np.ndarray:
    """Grids of the whole-mask rule for every use of the head, ``float32 [uses, blocks, 4, 255, 64]``."""

    def of_block(block: Block) -> np.ndarray:
        workspace = sweep.Workspace(source.height, source.width)
        sums = np.zeros((len(CANDIDATES), len(CLASSES), len(sweep.THRESHOLDS), len(sweep.AREAS)))
        for image in block.images:
            averaged, sure = averages(source, block.fold, image, {blend})[blend]
            truth = source.truth(image)
            for c, defect in enumerate(CLASSES):
                plain = sweep.level_counts(workspace, averaged[c], truth.get(defect))
                for number, use in enumerate(CANDIDATES):
                    given = use.applied(averaged[c], sure[c])
                    same = given is averaged[c]  # most uses leave most maps as they are
                    counts = plain if same else sweep.level_counts(workspace, given, truth.get(defect))
                    sweep.add_whole(*counts, sums[number, c], use.worth(int(sure[c])))
        return sums.astype(np.float32)

    return np.stack(_over(of_block, blocks, workers, "presence"), axis=1)


def averages(source: Maps, fold: int, image: str, wanted: set[Blend]) -> dict[Blend, tuple[np.ndarray, np.ndarray]]:
    """A strip's mean map ``uint8 [4, H, W]`` and presences ``uint8 [4]`` by each blend."""
    maps, sures = source.maps(fold, image), source.presences(fold, image)
    return {blend: (mean_map(maps, blend), mean_map(sures, blend)) for blend in wanted}


def sweep_blends(source: Maps, blocks: list[Block], candidates: list[Blend], workers: int) -> np.ndarray:
    """Grids of the whole-mask rule for every blend, ``float32 [blends, blocks, 4, 255, 64]``.

    Blends are compared by this rule alone: it needs no components, so all of them fit into one pass.
    """

    def of_block(block: Block) -> np.ndarray:
        workspace = sweep.Workspace(source.height, source.width)
        sums = np.zeros((len(candidates), len(CLASSES), len(sweep.THRESHOLDS), len(sweep.AREAS)))
        for image in block.images:
            maps, truth = source.maps(block.fold, image), source.truth(image)
            for number, blend in enumerate(candidates):
                averaged = mean_map(maps, blend)
                for defect in CLASSES:
                    counts = sweep.level_counts(workspace, averaged[defect - 1], truth.get(defect))
                    sweep.add_whole(*counts, sums[number, defect - 1])
        return sums.astype(np.float32)

    return np.stack(_over(of_block, blocks, workers, "blends"), axis=1)


def score_strips(
    source: Maps,
    default: Values,
    tuned: Values,
    honest: list[Values],
    workers: int,
) -> dict[str, np.ndarray]:
    """Every strip's Dice by prediction's code and the metric's: for each of ``SCORES``, ``float64 [strips, 4]``."""

    def of_block(block: Block) -> np.ndarray:
        made = np.empty((len(block.images), len(SCORES), len(CLASSES)))
        for row, image in enumerate(block.images):
            choices = (None, default, tuned, honest[block.fold])
            answers = averages(source, block.fold, image, {values.blend for values in choices if values})
            made[row] = _score(answers, source.truth(image), choices)
        return made

    blocks = [
        Block(fold, images[start : start + CHUNK])
        for fold, images in enumerate(source.folds)
        for start in range(0, len(images), CHUNK)
    ]
    scores = np.concatenate(_over(of_block, blocks, workers, "score"))
    return {name: scores[:, number] for number, name in enumerate(SCORES)}


def _score(
    answers: dict[Blend, tuple[np.ndarray, np.ndarray]],
    truth: dict[int, np.ndarray],
    choices: Sequence[Values | None],
) -> np.ndarray:
    """Dice of one strip under each choice of values (None: nothing predicted), ``float64 [choices, 4]``."""
    known: dict[tuple[int, Blend, Cut], float] = {}
    made = np.empty((len(choices), len(CLASSES)))
    for row, values in enumerate(choices):
        for c, defect in enumerate(CLASSES):
            if values is None:
                made[row, c] = defect not in truth
                continue
            key = (defect, values.blend, values.cuts[c])
            if key not in known:
                averaged, sure = answers[values.blend]
                predicted = mask(averaged[c], values.cuts[c], sure[c])
                known[key] = float(dice(predicted, truth[defect])) if defect in truth else float(not predicted.any())
            made[row, c] = known[key]
    return made


def _over(work: Callable[[Block], Made], blocks: list[Block], workers: int, what: str) -> list[Made]:
    """Results in the blocks' order. Threads: decompression, kernels and OpenCV let one another run."""
    made = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(delayed(work)(block) for block in blocks)
    return list(tqdm(made, what, total=len(blocks), unit="block", leave=False, disable=None))
