"""Post-processing values of the ensemble, chosen exactly on out-of-fold maps, and what they are worth.

*Default* is a threshold of 128/255 on the plain mean of the maps. *Tuned* takes blend, rule, threshold and area chosen
on all strips; *nested* scores each fold with everything chosen on the other folds, so it is the score to expect.
Sweeps choose (see :mod:`severstal.tuning.component_tree`); in the end every strip is cut by prediction's own code
and scored by the metric's, and the sweeps' promise must be met.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from severstal.data.labels import CLASSES
from severstal.postprocess.classifier import CANDIDATES, UNUSED, ClassifierUse
from severstal.postprocess.tuned_values import DEFAULT
from severstal.tuning import passes, selection
from severstal.tuning.passes import Block, EnsembleWeights, Key, Maps, Values
from severstal.tuning.selection import Blocks

Uses = tuple[ClassifierUse, ...]  # of the classification head, by each class

LATTICE = 4  # blends are whole shares of this many
RESAMPLES = 2000


@dataclass(frozen=True)
class Tuned:
    """The values for prediction, those of each held-out fold, and every strip's Dice.

    Attributes:
        dices: for each of ``SCORES``, ``float64 [strips, 4]``.
        blocks: the swept grids behind ``values``, one per class.
        heads: where networks have a classification head, the held-out Dice of the whole-mask rule with each of
            ``presence.CANDIDATES``, ``float64 [uses, 4]``; else None.
    """

    values: Values
    nested: list[Values]
    dices: dict[str, np.ndarray]
    blocks: list[Blocks]
    heads: np.ndarray | None


def tune(source: Maps, workers: int) -> Tuned:
    """Choose values on all strips, and score them honestly."""
    blocks = passes.blocks_of(source.folds)
    folds = np.array([block.fold for block in blocks])
    candidates = candidate_ensemble_weights(len(source.encoders))
    choices = [np.ones(len(blocks), dtype=bool), *(folds != k for k in range(len(source.folds)))]
    if len(candidates) > 1:
        sums = passes.sweep_ensemble_weights(source, blocks, candidates, workers)
        counts = np.array([len(block.images) for block in blocks])
        chosen = [candidates[selection.choose_ensemble_weights(sums[:, on], counts[on], folds[on])] for on in choices]
    else:
        chosen = candidates * len(choices)
    uses, heads = choose_uses(source, blocks, chosen, choices, workers)
    keys: list[Key] = [(b, c, use) for b, of in zip(chosen, uses, strict=True) for c, use in enumerate(of)]
    swept = passes.sweep_blocks(source, blocks, list(dict.fromkeys(keys)), workers)
    made = [
        Values(
            ensemble_weights,
            tuple(
                selection.choose(swept[ensemble_weights, c, use].where(on), class_probability=use)
                for c, use in enumerate(of_classes)
            ),
        )
        for ensemble_weights, of_classes, on in zip(chosen, uses, choices, strict=True)
    ]
    default = Values(candidates[0], (DEFAULT,) * len(CLASSES))
    dices = passes.score_strips(source, default, made[0], made[1:], workers)
    behind = [swept[chosen[0], c, use] for c, use in enumerate(uses[0])]
    _check_sweep(made[0], behind, dices["tuned"])
    return Tuned(made[0], made[1:], dices, behind, heads)


def choose_uses(
    source: Maps, blocks: list[Block], chosen: list[EnsembleWeights], choices: list[np.ndarray], workers: int
) -> tuple[list[Uses], np.ndarray | None]:
    """For each choice (a blend, and ``bool [blocks]``, the blocks to choose on): each class's use of the head.

    The second is what the uses are worth over all blocks; see :class:`Tuned`.
    """
    if not source.has_heads:
        return [(UNUSED,) * len(CLASSES)] * len(choices), None
    counts, folds = np.array([len(block.images) for block in blocks]), np.array([block.fold for block in blocks])
    sums = {
        ensemble_weights: passes.sweep_uses(source, blocks, ensemble_weights, workers)
        for ensemble_weights in dict.fromkeys(chosen)
    }
    uses = [
        tuple(
            CANDIDATES[selection.choose_classifier_use(sums[ensemble_weights][:, on, c], counts[on], folds[on])]
            for c in range(len(CLASSES))
        )
        for ensemble_weights, on in zip(chosen, choices, strict=True)
    ]
    area_weight = [selection.held_out_mask_area(sums[chosen[0]][:, :, c], counts, folds) for c in range(len(CLASSES))]
    return uses, np.stack(area_weight, axis=1).sum(axis=2) / counts.sum()


def candidate_ensemble_weights(encoders: int) -> list[EnsembleWeights]:
    """Candidate weights: all alike first, then every way to share out ``LATTICE`` parts (3 from six encoders on)."""
    parts = LATTICE if encoders < 6 else 3
    shares = [w for w in itertools.product(range(parts + 1), repeat=encoders) if sum(w) == parts]
    divisors = [int(np.gcd.reduce(w)) for w in shares]
    reduced = [tuple(one // divisor for one in w) for w, divisor in zip(shares, divisors, strict=True)]
    return list(dict.fromkeys([(1,) * encoders, *reduced]))


def _check_sweep(values: Values, swept: list[Blocks], dices: np.ndarray) -> None:
    """The sweep's mean at the chosen cell must be the mean that prediction's own code gives."""
    for c, rule in enumerate(values.rules):
        blocks = swept[c]
        expected = blocks.sums[rule.name][(slice(None), *selection.cell_of(rule))].sum() / blocks.counts.sum()
        if abs(expected - dices[:, c].mean()) > 1e-9:
            raise AssertionError(f"class {c + 1}: the sweep promised {expected}, prediction gives {dices[:, c].mean()}")


def intervals(dices: dict[str, np.ndarray]) -> dict[str, dict[str, tuple[float, float]]]:
    """95 % intervals of each score and of the gain (nested less default): of the mean, and per class.

    Percentiles over bootstrap resamples of the strips (Efron, Annals of Statistics 7(1), 1979).

    Args:
        dices: ``float64 [strips, 4]`` by name.
    """
    named = dices | {"gain": dices["nested"] - dices["default"]}
    columns = np.concatenate([np.c_[one.mean(axis=1), one] for one in named.values()], axis=1)
    rng, n = np.random.default_rng(0), len(columns)
    means = np.stack([columns[rng.integers(n, size=n)].mean(axis=0) for _ in range(RESAMPLES)])
    low, high = (one.reshape(len(named), -1) for one in np.percentile(means, (2.5, 97.5), axis=0))
    keys = ("mean", *map(str, CLASSES))
    return {
        name: {key: (float(low[row, k]), float(high[row, k])) for k, key in enumerate(keys)}
        for row, name in enumerate(named)
    }
