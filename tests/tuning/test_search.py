"""Cutting maps into masks, and choosing how, against plain, slow code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.plain_tuning import Strips

from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.tuned_values import DEFAULT, Rule, mask
from severstal.tuning import component_tree, passes, search, selection
from severstal.tuning.selection import Blocks


def plain_mask(probability: np.ndarray, rule: Rule) -> np.ndarray:
    """Flood fill, pixel by pixel."""
    above, kept = probability >= rule.threshold, np.zeros(probability.shape, dtype=bool)
    left = {(int(y), int(x)) for y, x in np.argwhere(above)}
    while left:
        component, frontier = set(), [left.pop()]
        while frontier:
            y, x = frontier.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            frontier.extend(near)
        if len(component) >= rule.min_area:
            for pixel in component:
                kept[pixel] = True
    return kept


probabilities = arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 60, 128, 129, 255]))


@given(probabilities, st.sampled_from([1, 60, 61, 128, 129, 255]), st.integers(0, 12))
def test_mask_equals_a_flood_fill(probability: np.ndarray, threshold: int, min_area: int) -> None:
    rule = Rule(threshold=threshold, min_area=min_area)
    assert np.array_equal(mask(probability, rule, 255), plain_mask(probability, rule))


def test_corners_connect_and_the_smallest_area_is_kept() -> None:
    probability = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 0], [0, 0, 200]], dtype=np.uint8)
    assert mask(probability, Rule(threshold=128, min_area=2), 255).sum() == 2
    assert mask(probability, Rule(threshold=128, min_area=3), 255).sum() == 0
    assert mask(probability, Rule(threshold=200, min_area=0), 255).sum() == 3
    assert mask(probability, Rule(threshold=201, min_area=0), 255).sum() == 0


def test_a_whole_mask_is_kept_by_its_own_pixels_and_a_triplet_by_its_brighter_ones() -> None:
    probability = np.array([[200, 0, 90], [100, 0, 0]], dtype=np.uint8)
    for rule, kept in (
        (Rule(name="mask_area", threshold=90, min_area=3), 3),
        (Rule(name="mask_area", threshold=90, min_area=4), 0),
        (Rule(name="mask_area", threshold=100, min_area=2), 2),
        (Rule(name="dual_threshold", threshold=90, min_area=2, high_threshold=100), 3),
        (Rule(name="dual_threshold", threshold=90, min_area=2, high_threshold=101), 0),
    ):
        assert mask(probability, rule, 255).sum() == kept


def test_weighted_means_round_half_up_and_skip_what_weighs_nothing() -> None:
    maps = [np.array([[0, 255, 3]], dtype=np.uint8), np.array([[1, 255, 6]], dtype=np.uint8)]
    assert mean_map(maps).tolist() == [[1, 255, 5]]
    assert mean_map(maps, [3, 1]).tolist() == [[0, 255, 4]]
    assert mean_map(maps, [0, 1]) is maps[1]


def test_scores_are_those_of_prediction_strip_by_strip_and_honest_ones_of_the_other_folds_choice() -> None:
    source = Strips(3, 12, {"a": 40, "b": 60})
    result = search.tune(source, workers=2)
    default = passes.Values((1, 1), (DEFAULT,) * 4)
    assert np.array_equal(result.dices["default"], np.concatenate([source.score(k, default) for k in range(3)]))
    assert np.array_equal(result.dices["tuned"], np.concatenate([source.score(k, result.values) for k in range(3)]))
    nested = np.concatenate([source.score(k, result.nested[k]) for k in range(3)])
    assert np.array_equal(result.dices["nested"], nested)
    assert result.dices["all_empty"].mean() == 0.5
    assert result.dices["nested"].mean() > result.dices["default"].mean() + 0.1


def test_a_held_out_folds_strips_shape_nothing_of_what_they_are_scored_with() -> None:
    source = Strips(3, 8, {"a": 40, "b": 60})
    before = search.tune(source, workers=1).nested[1]
    rng = np.random.default_rng(0)
    for image in source.folds[1]:
        source._maps[image] = [rng.integers(0, 255, one.shape, dtype=np.uint8) for one in source._maps[image]]
    assert search.tune(source, workers=2).nested[1] == before


def test_an_encoder_that_only_adds_noise_is_left_out_and_like_ones_are_averaged_alike() -> None:
    candidate_ensemble_weights = search.candidate_ensemble_weights(2)
    assert candidate_ensemble_weights[0] == (1, 1)
    assert set(candidate_ensemble_weights) == {(1, 1), (1, 0), (0, 1), (3, 1), (1, 3)}
    useless = search.tune(Strips(3, 16, {"good": 25, "noise": 400}), workers=2).values.ensemble_weights
    assert useless in {(1, 0), (3, 1)}
    assert search.tune(Strips(3, 16, {"a": 40, "b": 40}), workers=2).values.ensemble_weights == (1, 1)


def test_a_class_that_never_occurs_is_predicted_empty() -> None:
    source = Strips(2, 8, {"a": 30}, occurring=(1, 2, 3))
    result = search.tune(source, workers=1)
    assert result.dices["tuned"][:, 3].mean() == 1
    assert result.dices["default"][:, 3].mean() < 1


# -- choosing from grids ---------------------------------------------------------------------------


def blocks_with(component: np.ndarray, **others: np.ndarray) -> Blocks:
    """Eight blocks of ten strips in two folds from mean Dice at each cell, ``[blocks, *cells]``."""
    shape = {
        "component_area": (255, 64),
        "mask_area": (255, 64),
        "dual_threshold": (31, 64, 31),
        "expected_dice": (24, 64),
    }
    sums = {name: 10 * others.get(name, np.zeros((8, *cells))) for name, cells in shape.items()}
    return Blocks(sums | {"component_area": 10 * component}, np.full(8, 10), np.arange(8) // 4)


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


def test_a_complicated_rule_is_taken_only_where_it_beats_the_simple_one_by_more_than_noise() -> None:
    rng = np.random.default_rng(1)
    flat = np.full((8, 255, 64), 0.7)
    noise = rng.normal(0, 0.05, (8, 1, 1))
    assert selection.choose(blocks_with(flat, mask_area=flat + noise)).name == "component_area"
    assert selection.choose(blocks_with(flat, mask_area=flat + 0.1 + noise)).name == "mask_area"
    dual_threshold = np.full((8, 31, 64, 31), 0.9)
    assert (
        selection.choose(blocks_with(flat, mask_area=flat + 0.1 + noise, dual_threshold=dual_threshold)).name
        == "dual_threshold"
    )
    expected_dice = np.full((8, 24, 64), 0.95)
    best = selection.choose(blocks_with(flat, dual_threshold=dual_threshold, expected_dice=expected_dice))
    assert (best.name, best.min_area) == ("expected_dice", 0)


@given(st.sampled_from(selection.FAMILIES), st.integers(0, 23), st.integers(0, 63), st.integers(0, 30))
def test_cells_and_cuts_are_one_to_one(family: str, first: int, area: int, last: int) -> None:
    cell = {"dual_threshold": (first, area, last), "expected_dice": (first, area)}.get(family, (first * 8, area))
    assert selection.cell_of(selection.rule_at(family, cell)) == cell


def test_intervals_hold_the_mean_and_narrow_with_more_strips() -> None:
    rng = np.random.default_rng(0)
    few = {name: rng.random((30, 4)) for name in ("all_empty", "default", "tuned", "nested")}
    many = {name: np.tile(one, (16, 1)) for name, one in few.items()}
    width = []
    for dices in (few, many):
        low, high = search.intervals(dices)["nested"]["2"]
        assert low < dices["nested"][:, 1].mean() < high
        width.append(high - low)
    assert width[0] / width[1] == pytest.approx(4, rel=0.15)
    assert component_tree.AREAS.size >= 64
