"""Post-processing values of the ensemble, chosen exactly on out-of-fold maps, and what they are worth.

*Default* is a threshold of 128/255 on the plain mean of the maps. *Tuned* takes ensemble weights, classifier use, rule
and values chosen on all strips. *Nested* scores each fold with everything chosen on the other folds (nested
cross-validation), so it is the score to expect. Grids choose (see :mod:`severstal.tuning.grids`); at the end every
strip is scored by the code of prediction and the metric, and both must agree.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from severstal.data.labels import CLASSES
from severstal.postprocess.classifier import CANDIDATES, UNUSED, ClassifierUse
from severstal.postprocess.rules import DEFAULT, plain_rule
from severstal.postprocess.tuned_values import SCORE_KEYS
from severstal.tuning import grids, selection
from severstal.tuning.blocks import Block, EnsembleWeights, Maps, counts_and_folds, deal
from severstal.tuning.grids import Key
from severstal.tuning.scoring import Values, score_strips
from severstal.tuning.selection import BlockSums

LATTICE = 4  # ensemble weights are whole shares of this many
RESAMPLES = 2000


@dataclass(frozen=True)
class Tuned:
    """The values for prediction, those of each held-out fold, and every strip's Dice.

    Attributes:
        dices: for each of ``SCORES``, ``float64 [strips, 4]``.
        intervals: 95 % of bootstrap resamples; see :func:`intervals`.
        blocks: the grids that ``values`` were chosen from, one per class.
        classifier_scores: where networks have a classification head, the cross-validated Dice of the mask-area rule
            with each of ``classifier.CANDIDATES``, ``float64 [uses, 4]``; else None.
    """

    values: Values
    nested: list[Values]
    dices: dict[str, np.ndarray]
    intervals: dict[str, dict[str, tuple[float, float]]]
    blocks: list[BlockSums]
    classifier_scores: np.ndarray | None


@dataclass(frozen=True)
class _Choice:
    """One choice in the making.

    Attributes:
        selected: blocks to choose on, ``bool [blocks]``: all of them, or those of all folds but one.
        uses: of the classifier, by each class.
    """

    selected: np.ndarray
    ensemble_weights: EnsembleWeights
    uses: tuple[ClassifierUse, ...] = (UNUSED,) * len(CLASSES)

    def grid_keys(self) -> list[Key]:
        return [(self.ensemble_weights, c, use) for c, use in enumerate(self.uses)]


def untuned(source: Maps, workers: int) -> Tuned:
    """Plain values, of which none is chosen on these strips, with their scores in place of the tuned and nested ones.

    For strips unlike these: what networks are sure of here says little of what they are sure of there.
    """
    blocks = deal(source.folds)
    rule = plain_rule(source.has_heads)
    values = Values((1,) * len(source.encoders), (rule,) * len(CLASSES))
    keys = [(values.ensemble_weights, c, rule.classifier) for c in range(len(CLASSES))]
    by_key = grids.grids_of(source, blocks, keys, workers)
    return _scored(source, values, [values] * len(source.folds), [by_key[key] for key in keys], None, workers)


def tune(source: Maps, workers: int) -> Tuned:
    """Choose values on all strips, and score them by nested cross-validation."""
    blocks = deal(source.folds)
    choices = _choose_ensemble_weights(source, blocks, workers)
    classifier_scores = None
    if source.has_heads:
        choices, classifier_scores = _choose_classifier_uses(source, blocks, choices, workers)
    keys = list(dict.fromkeys(key for choice in choices for key in choice.grid_keys()))
    by_key = grids.grids_of(source, blocks, keys, workers)
    values, *nested = (_choose_rules(choice, by_key) for choice in choices)
    of_values = [by_key[key] for key in choices[0].grid_keys()]
    return _scored(source, values, nested, of_values, classifier_scores, workers)


def _scored(
    source: Maps,
    values: Values,
    nested: list[Values],
    of_values: list[BlockSums],
    classifier_scores: np.ndarray | None,
    workers: int,
) -> Tuned:
    """The values with every strip's Dice."""
    default = Values((1,) * len(source.encoders), (DEFAULT,) * len(CLASSES))
    dices = score_strips(source, default, values, nested, workers)
    _check_grids_agree(values, of_values, dices["tuned"])
    return Tuned(values, nested, dices, intervals(dices), of_values, classifier_scores)


def _choose_ensemble_weights(source: Maps, blocks: list[Block], workers: int) -> list[_Choice]:
    """The first choice is made on all blocks, the others each without one fold's."""
    counts, folds = counts_and_folds(blocks)
    selections = [np.ones(len(blocks), dtype=bool), *(folds != fold for fold in range(len(source.folds)))]
    candidates = candidate_ensemble_weights(len(source.encoders))
    if len(candidates) == 1:
        return [_Choice(selected, candidates[0]) for selected in selections]
    sums = grids.grids_of_ensemble_weights(source, blocks, candidates, workers)
    return [
        _Choice(on, candidates[selection.choose_alternative(sums[:, on], counts[on], folds[on])]) for on in selections
    ]


def _choose_classifier_uses(
    source: Maps, blocks: list[Block], choices: list[_Choice], workers: int
) -> tuple[list[_Choice], np.ndarray]:
    """The choices with each class's use of the classifier, and :attr:`Tuned.classifier_scores`."""
    counts, folds = counts_and_folds(blocks)
    sums = {
        weights: grids.grids_of_classifier_uses(source, blocks, weights, workers)
        for weights in dict.fromkeys(choice.ensemble_weights for choice in choices)
    }

    def use(choice: _Choice, c: int) -> ClassifierUse:
        on, of_class = choice.selected, sums[choice.ensemble_weights][:, :, c : c + 1]
        return CANDIDATES[selection.choose_alternative(of_class[:, on], counts[on], folds[on])]

    with_uses = [
        _Choice(choice.selected, choice.ensemble_weights, tuple(use(choice, c) for c in range(len(CLASSES))))
        for choice in choices
    ]
    scores = selection.cross_validated_alternatives(sums[choices[0].ensemble_weights], counts, folds)
    return with_uses, scores.sum(axis=1) / counts.sum()


def _choose_rules(choice: _Choice, by_key: dict[Key, BlockSums]) -> Values:
    rules = [
        selection.choose_rule(by_key[key].subset(choice.selected), classifier=use)
        for key, use in zip(choice.grid_keys(), choice.uses, strict=True)
    ]
    return Values(choice.ensemble_weights, tuple(rules))


def candidate_ensemble_weights(encoders: int) -> list[EnsembleWeights]:
    """Candidate weights: all alike first, then every way to share out ``LATTICE`` parts (3 from six encoders on)."""
    parts = LATTICE if encoders < 6 else 3
    shares = [w for w in itertools.product(range(parts + 1), repeat=encoders) if sum(w) == parts]
    divisors = [int(np.gcd.reduce(w)) for w in shares]
    reduced = [tuple(share // divisor for share in w) for w, divisor in zip(shares, divisors, strict=True)]
    return list(dict.fromkeys([(1,) * encoders, *reduced]))


def _check_grids_agree(values: Values, blocks: list[BlockSums], dices: np.ndarray) -> None:
    """The grids' mean at the chosen cells must be the mean that the code of prediction gives.

    Raises:
        AssertionError: if it is not; then the grids or the rules are wrong.
    """
    for c, rule in enumerate(values.rules):
        expected, found = blocks[c].mean_at(rule), dices[:, c].mean()
        if abs(expected - found) > 1e-9:
            raise AssertionError(f"class {c + 1}: the grid says {expected}, prediction gives {found}")


def intervals(dices: dict[str, np.ndarray]) -> dict[str, dict[str, tuple[float, float]]]:
    """95 % intervals of each score and of the gain (nested less default): of the mean, and per class.

    Percentiles over bootstrap resamples of the strips (Efron, Annals of Statistics 7(1), 1979).

    Args:
        dices: ``float64 [strips, 4]`` by name.
    """
    named = dices | {"gain": dices["nested"] - dices["default"]}
    columns = np.concatenate([np.c_[scores.mean(axis=1), scores] for scores in named.values()], axis=1)
    rng, n = np.random.default_rng(0), len(columns)
    means = np.stack([columns[rng.integers(n, size=n)].mean(axis=0) for _ in range(RESAMPLES)])
    low, high = (bounds.reshape(len(named), -1) for bounds in np.percentile(means, (2.5, 97.5), axis=0))
    return {
        name: {key: (float(low[row, k]), float(high[row, k])) for k, key in enumerate(SCORE_KEYS)}
        for row, name in enumerate(named)
    }
