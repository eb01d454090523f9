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

from severstal.data.labels import CLASSES
from severstal.postprocess.classifier import CANDIDATES, ClassifierUse
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import SCORES, Rule, mask
from severstal.tuning import component_tree, selection
from severstal.tuning.selection import Blocks

EnsembleWeights = tuple[int, ...]
Key = tuple[EnsembleWeights, int, ClassifierUse]  # of grids: a blend, a class from 0, a use of the classification head
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

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4]``."""
        ...

    def truth(self, image: str) -> dict[int, np.ndarray]:
        """Bool ``[H, W]`` of each class that occurs."""
        ...


@dataclass(frozen=True)
class Values:
    """A complete choice: how maps are averaged and cut."""

    ensemble_weights: EnsembleWeights
    rules: tuple[Rule, ...]


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

    def of_block(block: Block) -> list[component_tree.Grids]:
        workspace, grids = component_tree.Workspace(source.height, source.width), [component_tree.Grids() for _ in keys]
        for image in block.images:
            answers, truth = (
                averages(source, block.fold, image, {ensemble_weights for ensemble_weights, _, _ in keys}),
                source.truth(image),
            )
            for (ensemble_weights, c, use), grid in zip(keys, grids, strict=True):
                averaged, sure = answers[ensemble_weights]
                grid.add(workspace, use.applied(averaged[c], sure[c]), truth.get(c + 1), use.area_weight(int(sure[c])))
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


def sweep_uses(source: Maps, blocks: list[Block], ensemble_weights: EnsembleWeights, workers: int) -> np.ndarray:
    """Grids of the whole-mask rule for every use of the head, ``float32 [uses, blocks, 4, 255, 64]``."""

    def of_block(block: Block) -> np.ndarray:
        workspace = component_tree.Workspace(source.height, source.width)
        sums = np.zeros((len(CANDIDATES), len(CLASSES), len(component_tree.THRESHOLDS), len(component_tree.AREAS)))
        for image in block.images:
            averaged, sure = averages(source, block.fold, image, {ensemble_weights})[ensemble_weights]
            truth = source.truth(image)
            for c, defect in enumerate(CLASSES):
                plain = component_tree.level_counts(workspace, averaged[c], truth.get(defect))
                for number, use in enumerate(CANDIDATES):
                    given = use.applied(averaged[c], sure[c])
                    same = given is averaged[c]  # most uses leave most maps as they are
                    counts = plain if same else component_tree.level_counts(workspace, given, truth.get(defect))
                    component_tree.add_mask_area(*counts, sums[number, c], use.area_weight(int(sure[c])))
        return sums.astype(np.float32)

    return np.stack(_over(of_block, blocks, workers, "class_probability"), axis=1)


def averages(
    source: Maps, fold: int, image: str, wanted: set[EnsembleWeights]
) -> dict[EnsembleWeights, tuple[np.ndarray, np.ndarray]]:
    """A strip's mean map ``uint8 [4, H, W]`` and presences ``uint8 [4]`` by each blend."""
    maps, sures = source.maps(fold, image), source.class_probabilities(fold, image)
    return {
        ensemble_weights: (mean_map(maps, ensemble_weights), mean_map(sures, ensemble_weights))
        for ensemble_weights in wanted
    }


def sweep_ensemble_weights(
    source: Maps, blocks: list[Block], candidates: list[EnsembleWeights], workers: int
) -> np.ndarray:
    """Grids of the whole-mask rule for every blend, ``float32 [blends, blocks, 4, 255, 64]``.

    Blends are compared by this rule alone: it needs no components, so all of them fit into one pass.
    """

    def of_block(block: Block) -> np.ndarray:
        workspace = component_tree.Workspace(source.height, source.width)
        sums = np.zeros((len(candidates), len(CLASSES), len(component_tree.THRESHOLDS), len(component_tree.AREAS)))
        for image in block.images:
            maps, truth = source.maps(block.fold, image), source.truth(image)
            for number, ensemble_weights in enumerate(candidates):
                averaged = mean_map(maps, ensemble_weights)
                for defect in CLASSES:
                    counts = component_tree.level_counts(workspace, averaged[defect - 1], truth.get(defect))
                    component_tree.add_mask_area(*counts, sums[number, defect - 1])
        return sums.astype(np.float32)

    return np.stack(_over(of_block, blocks, workers, "blends"), axis=1)


def score_strips(
    source: Maps,
    default: Values,
    tuned: Values,
    nested: list[Values],
    workers: int,
) -> dict[str, np.ndarray]:
    """Every strip's Dice by prediction's code and the metric's: for each of ``SCORES``, ``float64 [strips, 4]``."""

    def of_block(block: Block) -> np.ndarray:
        made = np.empty((len(block.images), len(SCORES), len(CLASSES)))
        for row, image in enumerate(block.images):
            choices = (None, default, tuned, nested[block.fold])
            answers = averages(source, block.fold, image, {values.ensemble_weights for values in choices if values})
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
    answers: dict[EnsembleWeights, tuple[np.ndarray, np.ndarray]],
    truth: dict[int, np.ndarray],
    choices: Sequence[Values | None],
) -> np.ndarray:
    """Dice of one strip under each choice of values (None: nothing predicted), ``float64 [choices, 4]``."""
    known: dict[tuple[int, EnsembleWeights, Rule], float] = {}
    made = np.empty((len(choices), len(CLASSES)))
    for row, values in enumerate(choices):
        for c, defect in enumerate(CLASSES):
            if values is None:
                made[row, c] = defect not in truth
                continue
            key = (defect, values.ensemble_weights, values.rules[c])
            if key not in known:
                averaged, sure = answers[values.ensemble_weights]
                predicted = mask(averaged[c], values.rules[c], sure[c])
                known[key] = float(dice(predicted, truth[defect])) if defect in truth else float(not predicted.any())
            made[row, c] = known[key]
    return made


def _over(work: Callable[[Block], Made], blocks: list[Block], workers: int, what: str) -> list[Made]:
    """Results in the blocks' order. Threads: decompression, kernels and OpenCV let one another run."""
    made = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(delayed(work)(block) for block in blocks)
    return list(tqdm(made, what, total=len(blocks), unit="block", leave=False, disable=None))
