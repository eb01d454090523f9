"""Cutting maps into masks, and choosing how, against plain, slow code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal import passes, selection, sweep, tuning
from severstal.ensemble import mean_map
from severstal.labels import CLASSES
from severstal.metric import dice
from severstal.postprocess import DEFAULT, Cut, mask
from severstal.selection import Blocks


def plain_mask(probability: np.ndarray, cut: Cut) -> np.ndarray:
    """Flood fill, pixel by pixel."""
    above, kept = probability >= cut.threshold, np.zeros(probability.shape, dtype=bool)
    left = {(int(y), int(x)) for y, x in np.argwhere(above)}
    while left:
        component, frontier = set(), [left.pop()]
        while frontier:
            y, x = frontier.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            frontier.extend(near)
        if len(component) >= cut.min_area:
            for pixel in component:
                kept[pixel] = True
    return kept


probabilities = arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 60, 128, 129, 255]))


@given(probabilities, st.sampled_from([1, 60, 61, 128, 129, 255]), st.integers(0, 12))
def test_mask_equals_a_flood_fill(probability: np.ndarray, threshold: int, min_area: int) -> None:
    cut = Cut(threshold=threshold, min_area=min_area)
    assert np.array_equal(mask(probability, cut, 255), plain_mask(probability, cut))


def test_corners_connect_and_the_smallest_area_is_kept() -> None:
    probability = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 0], [0, 0, 200]], dtype=np.uint8)
    assert mask(probability, Cut(threshold=128, min_area=2), 255).sum() == 2
    assert mask(probability, Cut(threshold=128, min_area=3), 255).sum() == 0
    assert mask(probability, Cut(threshold=200, min_area=0), 255).sum() == 3
    assert mask(probability, Cut(threshold=201, min_area=0), 255).sum() == 0


def test_a_whole_mask_is_kept_by_its_own_pixels_and_a_triplet_by_its_brighter_ones() -> None:
    probability = np.array([[200, 0, 90], [100, 0, 0]], dtype=np.uint8)
    for cut, kept in (
        (Cut(rule="whole", threshold=90, min_area=3), 3),
        (Cut(rule="whole", threshold=90, min_area=4), 0),
        (Cut(rule="whole", threshold=100, min_area=2), 2),
        (Cut(rule="triplet", threshold=90, min_area=2, gate=100), 3),
        (Cut(rule="triplet", threshold=90, min_area=2, gate=101), 0),
    ):
        assert mask(probability, cut, 255).sum() == kept


def test_weighted_means_round_half_up_and_skip_what_weighs_nothing() -> None:
    maps = [np.array([[0, 255, 3]], dtype=np.uint8), np.array([[1, 255, 6]], dtype=np.uint8)]
    assert mean_map(maps).tolist() == [[1, 255, 5]]
    assert mean_map(maps, [3, 1]).tolist() == [[0, 255, 4]]
    assert mean_map(maps, [0, 1]) is maps[1]


class Strips:
    """Made-up maps of several encoders, in folds."""

    height, width = 32, 64
    has_heads = False

    def __init__(self, folds: int, each: int, noise: dict[str, float], occurring: tuple[int, ...] = CLASSES) -> None:
        rng = np.random.default_rng(folds * 100 + each)
        self.encoders = list(noise)
        self.folds = [[f"{fold}-{number}" for number in range(each)] for fold in range(folds)]
        self._maps: dict[str, list[np.ndarray]] = {}
        self._truth: dict[str, np.ndarray] = {}
        for number, image in enumerate(image for fold in self.folds for image in fold):
            truth = np.zeros((4, self.height, self.width), dtype=bool)
            for defect in occurring if number % 2 else ():
                truth[defect - 1, 8:24, 10 + number % 7 : 40] = True
            self._truth[image] = truth
            soft = [truth * 110 + 60 + rng.normal(0, level, truth.shape) for level in noise.values()]
            self._maps[image] = [np.clip(one, 0, 255).astype(np.uint8) for one in soft]

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        assert image in self.folds[fold]
        return self._maps[image]

    def presences(self, fold: int, image: str) -> list[np.ndarray]:
        return [maps.max(axis=(1, 2)) for maps in self._maps[image]]

    def truth(self, image: str) -> dict[int, np.ndarray]:
        masks = dict(zip(CLASSES, self._truth[image], strict=True))
        return {defect: one for defect, one in masks.items() if one.any()}

    def score(self, fold: int, values: passes.Values) -> np.ndarray:
        """Dice of a fold's strips by prediction's own code, ``[strips, 4]``."""
        made = []
        for image in self.folds[fold]:
            averaged = mean_map(self._maps[image], values.blend)
            masks = np.stack([mask(one, cut, 255) for one, cut in zip(averaged, values.cuts, strict=True)])
            made.append(dice(masks, self._truth[image]))
        return np.array(made)


def test_scores_are_those_of_prediction_strip_by_strip_and_honest_ones_of_the_other_folds_choice() -> None:
    source = Strips(3, 12, {"a": 40, "b": 60})
    result = tuning.tune(source, workers=2)
    default = passes.Values((1, 1), (DEFAULT,) * 4)
    assert np.array_equal(result.dices["default"], np.concatenate([source.score(k, default) for k in range(3)]))
    assert np.array_equal(result.dices["tuned"], np.concatenate([source.score(k, result.values) for k in range(3)]))
    honest = np.concatenate([source.score(k, result.honest[k]) for k in range(3)])
    assert np.array_equal(result.dices["honest"], honest)
    assert result.dices["all_empty"].mean() == 0.5
    assert result.dices["honest"].mean() > result.dices["default"].mean() + 0.1


def test_a_held_out_folds_strips_shape_nothing_of_what_they_are_scored_with() -> None:
    source = Strips(3, 8, {"a": 40, "b": 60})
    before = tuning.tune(source, workers=1).honest[1]
    rng = np.random.default_rng(0)
    for image in source.folds[1]:
        source._maps[image] = [rng.integers(0, 255, one.shape, dtype=np.uint8) for one in source._maps[image]]
    assert tuning.tune(source, workers=2).honest[1] == before


def test_an_encoder_that_only_adds_noise_is_left_out_and_like_ones_are_averaged_alike() -> None:
    blends = tuning.blends(2)
    assert blends[0] == (1, 1)
    assert set(blends) == {(1, 1), (1, 0), (0, 1), (3, 1), (1, 3)}
    useless = tuning.tune(Strips(3, 16, {"good": 25, "noise": 400}), workers=2).values.blend
    assert useless in {(1, 0), (3, 1)}
    assert tuning.tune(Strips(3, 16, {"a": 40, "b": 40}), workers=2).values.blend == (1, 1)


def test_a_class_that_never_occurs_is_predicted_empty() -> None:
    source = Strips(2, 8, {"a": 30}, occurring=(1, 2, 3))
    result = tuning.tune(source, workers=1)
    assert result.dices["tuned"][:, 3].mean() == 1
    assert result.dices["default"][:, 3].mean() < 1


# -- choosing from grids ---------------------------------------------------------------------------


def blocks_with(component: np.ndarray, **others: np.ndarray) -> Blocks:
    """Eight blocks of ten strips in two folds from mean Dice at each cell, ``[blocks, *cells]``."""
    shape = {"component": (255, 64), "whole": (255, 64), "triplet": (31, 64, 31), "promise": (24, 64)}
    sums = {name: 10 * others.get(name, np.zeros((8, *cells))) for name, cells in shape.items()}
    return Blocks(sums | {"component": 10 * component}, np.full(8, 10), np.arange(8) // 4)


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
    assert selection.choose(blocks_with(flat, whole=flat + noise)).rule == "component"
    assert selection.choose(blocks_with(flat, whole=flat + 0.1 + noise)).rule == "whole"
    triplet = np.full((8, 31, 64, 31), 0.9)
    assert selection.choose(blocks_with(flat, whole=flat + 0.1 + noise, triplet=triplet)).rule == "triplet"
    promise = np.full((8, 24, 64), 0.95)
    best = selection.choose(blocks_with(flat, triplet=triplet, promise=promise))
    assert (best.rule, best.min_area) == ("promise", 0)


@given(st.sampled_from(selection.FAMILIES), st.integers(0, 23), st.integers(0, 63), st.integers(0, 30))
def test_cells_and_cuts_are_one_to_one(family: str, first: int, area: int, last: int) -> None:
    cell = {"triplet": (first, area, last), "promise": (first, area)}.get(family, (first * 8, area))
    assert selection.cell_of(selection.cut_of(family, cell)) == cell


def test_intervals_hold_the_mean_and_narrow_with_more_strips() -> None:
    rng = np.random.default_rng(0)
    few = {name: rng.random((30, 4)) for name in ("all_empty", "default", "tuned", "honest")}
    many = {name: np.tile(one, (16, 1)) for name, one in few.items()}
    width = []
    for dices in (few, many):
        low, high = tuning.intervals(dices)["honest"]["2"]
        assert low < dices["honest"][:, 1].mean() < high
        width.append(high - low)
    assert width[0] / width[1] == pytest.approx(4, rel=0.15)
    assert sweep.AREAS.size >= 64
