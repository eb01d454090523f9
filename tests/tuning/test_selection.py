"""Which cell and which rule are chosen from grids whose best answer is known."""

from __future__ import annotations

import numpy as np

from severstal.postprocess.rules import RULES, ComponentArea, DualThreshold, ExpectedDice, MaskArea, RuleType
from severstal.tuning import selection
from severstal.tuning.selection import BlockSums


def blocks_with(grids: dict[RuleType, np.ndarray]) -> BlockSums:
    """Eight blocks of ten strips in two folds, with these mean grids; a rule that is not named scores 0."""
    counts, folds = np.full(8, 10), np.arange(8) // 4
    sums = {rule: 10 * grids.get(rule, np.zeros((8, *rule.empty_grid().shape))) for rule in RULES}
    return BlockSums(sums, counts, folds)


def test_the_middle_of_the_plateau_is_taken_and_not_a_lucky_peak() -> None:
    rng = np.random.default_rng(0)
    grid = np.full((8, 255, 64), 0.3)
    grid[:, 60:181, 20:51] = 0.8  # a broad plateau
    grid[:, 70, 22] = 0.803  # a peak at its edge
    grid += rng.normal(0, 0.02, (8, 1, 1))  # strips differ: a standard error of .007
    assert selection.peak(grid, np.full(8, 10), (1, 4)) == (70, 22)
    threshold, area = selection.middle(10 * grid, np.full(8, 10), (1, 4))
    assert 115 <= threshold <= 125
    assert 30 <= area <= 40


def test_a_more_complicated_rule_is_taken_only_where_it_is_better_by_more_than_noise() -> None:
    flat = np.full((8, 255, 64), 0.7)
    noise = np.random.default_rng(1).normal(0, 0.05, (8, 1, 1))
    better = {ComponentArea: flat, MaskArea: flat + 0.1 + noise}
    best = better | {DualThreshold: np.full((8, 31, 64, 31), 0.9)}
    assert isinstance(selection.choose_rule(blocks_with({ComponentArea: flat, MaskArea: flat + noise})), ComponentArea)
    assert isinstance(selection.choose_rule(blocks_with(better)), MaskArea)
    assert isinstance(selection.choose_rule(blocks_with(best)), DualThreshold)
    with_last = best | {ExpectedDice: np.full((8, 24, 64), 0.95)}
    assert isinstance(selection.choose_rule(blocks_with(with_last)), ExpectedDice)


def test_a_part_is_scored_with_the_cell_that_is_best_on_the_other_parts() -> None:
    """Two folds whose best cells differ: with the other fold's cell each scores 0, with its own it would score 1."""
    grid = np.zeros((8, 255, 64))
    grid[:4, 100, 10], grid[4:, 200, 50] = 1, 1
    scores = selection.cross_validated(blocks_with({MaskArea: grid}), MaskArea, selection.peak)
    assert np.array_equal(scores, np.zeros(8))
