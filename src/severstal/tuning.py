"""Post-processing values of the ensemble, chosen exactly on out-of-fold maps, and what they are worth.

*Default* is a threshold of 128/255 on the plain mean of the maps. *Tuned* takes blend, rule, threshold and area chosen
on all strips; *honest* scores each fold with everything chosen on the other folds, so it is the score to expect.
Sweeps choose (see :mod:`severstal.sweep`); in the end every strip is cut by prediction's own code and scored by
the metric's, and the sweeps' promise must be met.
"""

from __future__ import annotations

import itertools
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
from severstal.postprocess import DEFAULT, SCORES, Cut, mask
from severstal.selection import Blocks

Blend = tuple[int, ...]
Made = TypeVar("Made")

BLOCKS = 32  # in all, so that the spread between them says something
LATTICE = 4  # blends are whole shares of this many
RESAMPLES = 2000
CHUNK = 64  # strips that one thread scores at a time


class Maps(Protocol):
    """Out-of-fold maps of an ensemble, and their truth."""

    encoders: list[str]
    folds: list[list[str]]  # images of each fold
    height: int
    width: int

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4, H, W]``."""
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
class Tuned:
    """The values for prediction, those of each held-out fold, and every strip's Dice.

    Attributes:
        dices: for each of ``SCORES``, ``float64 [strips, 4]``.
        blocks: the swept grids behind ``values``, one per class.
    """

    values: Values
    honest: list[Values]
    dices: dict[str, np.ndarray]
    blocks: list[Blocks]


@dataclass(frozen=True)
class Block:
    """Some strips of one fold, swept together."""

    fold: int
    images: list[str]


def tune(source: Maps, workers: int) -> Tuned:
    """Choose values on all strips, and score them honestly."""
    blocks = blocks_of(source.folds)
    folds = np.array([block.fold for block in blocks])
    candidates = blends(len(source.encoders))
    choices = [np.ones(len(blocks), dtype=bool), *(folds != k for k in range(len(source.folds)))]
    if len(candidates) > 1:
        sums = sweep_blends(source, blocks, candidates, workers)
        counts = np.array([len(block.images) for block in blocks])
        chosen = [candidates[selection.choose_blend(sums[:, on], counts[on], folds[on])] for on in choices]
    else:
        chosen = candidates * len(choices)
    swept = {blend: sweep_blocks(source, blocks, blend, workers) for blend in sorted(set(chosen))}
    made = [
        Values(blend, tuple(selection.choose(one.where(on)) for one in swept[blend]))
        for blend, on in zip(chosen, choices, strict=True)
    ]
    default = Values(candidates[0], (DEFAULT,) * len(CLASSES))
    dices = score_strips(source, default, made[0], made[1:], workers)
    _check_promise(made[0], swept[made[0].blend], dices["tuned"])
    return Tuned(made[0], made[1:], dices, swept[made[0].blend])


def blocks_of(folds: list[list[str]]) -> list[Block]:
    """Each fold's strips dealt into blocks."""
    each = max(BLOCKS // len(folds), 1)
    dealt = [Block(fold, images[start::each]) for fold, images in enumerate(folds) for start in range(each)]
    return [block for block in dealt if block.images]


def blends(encoders: int) -> list[Blend]:
    """Candidate weights: all alike first, then every way to share out ``LATTICE`` parts (3 from six encoders on)."""
    parts = LATTICE if encoders < 6 else 3
    shares = [w for w in itertools.product(range(parts + 1), repeat=encoders) if sum(w) == parts]
    divisors = [int(np.gcd.reduce(w)) for w in shares]
    reduced = [tuple(one // divisor for one in w) for w, divisor in zip(shares, divisors, strict=True)]
    return list(dict.fromkeys([(1,) * encoders, *reduced]))


def sweep_blocks(source: Maps, blocks: list[Block], blend: Blend, workers: int) -> list[Blocks]:
    """The whole grids of each class, over every strip, with the maps averaged by ``blend``."""

    def of_block(block: Block) -> list[sweep.Grids]:
        workspace, grids = sweep.Workspace(source.height, source.width), [sweep.Grids() for _ in CLASSES]
        for image in block.images:
            averaged, truth = mean_map(source.maps(block.fold, image), blend), source.truth(image)
            for defect, grid in zip(CLASSES, grids, strict=True):
                grid.add(workspace, averaged[defect - 1], truth.get(defect))
        return grids

    made = _over(of_block, blocks, workers, "sweep")
    counts, folds = np.array([len(block.images) for block in blocks]), np.array([block.fold for block in blocks])
    return [
        Blocks(
            {family: np.stack([getattr(grids[c], family) for grids in made]) for family in selection.FAMILIES},
            counts,
            folds,
        )
        for c in range(len(CLASSES))
    ]


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
            maps, truth = source.maps(block.fold, image), source.truth(image)
            made[row] = _score(maps, truth, (None, default, tuned, honest[block.fold]))
        return made

    blocks = [
        Block(fold, images[start : start + CHUNK])
        for fold, images in enumerate(source.folds)
        for start in range(0, len(images), CHUNK)
    ]
    scores = np.concatenate(_over(of_block, blocks, workers, "score"))
    return {name: scores[:, number] for number, name in enumerate(SCORES)}


def _score(maps: list[np.ndarray], truth: dict[int, np.ndarray], choices: Sequence[Values | None]) -> np.ndarray:
    """Dice of one strip under each choice of values (None: nothing predicted), ``float64 [choices, 4]``."""
    averaged: dict[Blend, np.ndarray] = {}
    known: dict[tuple[int, Blend, Cut], float] = {}
    made = np.empty((len(choices), len(CLASSES)))
    for row, values in enumerate(choices):
        for c, defect in enumerate(CLASSES):
            if values is None:
                made[row, c] = defect not in truth
                continue
            key = (defect, values.blend, values.cuts[c])
            if key not in known:
                if values.blend not in averaged:
                    averaged[values.blend] = mean_map(maps, values.blend)
                predicted = mask(averaged[values.blend][c], values.cuts[c])
                known[key] = float(dice(predicted, truth[defect])) if defect in truth else float(not predicted.any())
            made[row, c] = known[key]
    return made


def _check_promise(values: Values, swept: list[Blocks], dices: np.ndarray) -> None:
    """The sweep's mean at the chosen cell must be the mean that prediction's own code gives."""
    for c, cut in enumerate(values.cuts):
        blocks = swept[c]
        promised = blocks.sums[cut.rule][(slice(None), *selection.cell_of(cut))].sum() / blocks.counts.sum()
        if abs(promised - dices[:, c].mean()) > 1e-9:
            raise AssertionError(f"class {c + 1}: the sweep promised {promised}, prediction gives {dices[:, c].mean()}")


def intervals(dices: dict[str, np.ndarray]) -> dict[str, dict[str, tuple[float, float]]]:
    """95 % intervals of each score and of the gain (honest less default): of the mean, and per class.

    Percentiles over bootstrap resamples of the strips (Efron, Annals of Statistics 7(1), 1979).

    Args:
        dices: ``float64 [strips, 4]`` by name.
    """
    named = dices | {"gain": dices["honest"] - dices["default"]}
    columns = np.concatenate([np.c_[one.mean(axis=1), one] for one in named.values()], axis=1)
    rng, n = np.random.default_rng(0), len(columns)
    means = np.stack([columns[rng.integers(n, size=n)].mean(axis=0) for _ in range(RESAMPLES)])
    low, high = (one.reshape(len(named), -1) for one in np.percentile(means, (2.5, 97.5), axis=0))
    keys = ("mean", *map(str, CLASSES))
    return {
        name: {key: (float(low[row, k]), float(high[row, k])) for k, key in enumerate(keys)}
        for row, name in enumerate(named)
    }


def _over(work: Callable[[Block], Made], blocks: list[Block], workers: int, what: str) -> list[Made]:
    """Results in the blocks' order. Threads: decompression, kernels and OpenCV let one another run."""
    made = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(delayed(work)(block) for block in blocks)
    return list(tqdm(made, what, total=len(blocks), unit="block", leave=False, disable=None))
