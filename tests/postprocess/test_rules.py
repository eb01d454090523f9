"""Rules turn maps into masks: against plain code, on cases worked by hand, and through JSON."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from severstal.postprocess.classifier import ClassifierUse
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.level_counts import Workspace, count_levels
from severstal.postprocess.rules import RULES, ComponentArea, DualThreshold, MaskArea, Rule, RuleType, masks_of, parse


def flood_filled(probability: np.ndarray, rule: ComponentArea) -> np.ndarray:
    """The component-area mask, by flood fill, pixel by pixel."""
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
def test_component_area_keeps_what_a_flood_fill_keeps(probability: np.ndarray, threshold: int, min_area: int) -> None:
    rule = ComponentArea(threshold=threshold, min_area=min_area)
    assert np.array_equal(rule.apply(probability, 255), flood_filled(probability, rule))


def test_pixels_that_touch_at_corners_are_one_component() -> None:
    probability = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 0], [0, 0, 200]], dtype=np.uint8)
    assert ComponentArea(threshold=128, min_area=2).apply(probability, 255).sum() == 2
    assert ComponentArea(threshold=128, min_area=3).apply(probability, 255).sum() == 0
    assert ComponentArea(threshold=200, min_area=0).apply(probability, 255).sum() == 3
    assert ComponentArea(threshold=201, min_area=0).apply(probability, 255).sum() == 0


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (MaskArea(threshold=90, min_area=3), 3),
        (MaskArea(threshold=90, min_area=4), 0),
        (MaskArea(threshold=100, min_area=2), 2),
        (DualThreshold(threshold=90, min_area=2, high_threshold=100), 3),
        (DualThreshold(threshold=90, min_area=2, high_threshold=101), 0),
    ],
    ids=str,
)
def test_a_mask_is_kept_by_all_its_pixels_or_by_its_brighter_ones(rule: Rule, kept: int) -> None:
    probability = np.array([[200, 0, 90], [100, 0, 0]], dtype=np.uint8)
    assert rule.apply(probability, 255).sum() == kept


def test_each_class_is_masked_by_its_own_rule() -> None:
    probability = np.stack([np.full((2, 3), level, dtype=np.uint8) for level in (10, 20, 30, 40)])
    rules = tuple(ComponentArea(threshold=threshold, min_area=0) for threshold in (11, 20, 30, 41))
    assert masks_of(probability, np.full(4, 255, np.uint8), rules).all(axis=(1, 2)).tolist() == [
        False,
        True,
        True,
        False,
    ]


@given(st.sampled_from(RULES), st.data())
def test_cells_and_values_are_one_to_one_and_survive_json(rule: RuleType, data: st.DataObject) -> None:
    cell = tuple(data.draw(st.integers(0, len(axis.values) - 1)) for axis in rule.axes)
    values = rule.at(cell, ClassifierUse(use="hard", min_probability=51))
    assert values.cell() == cell
    assert rule.empty_grid()[cell] == 0
    assert parse(values.model_dump(exclude_none=True)) == values


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rules_words_name_its_values_and_its_classifier_use(rule: RuleType) -> None:
    values = rule.at(tuple(range(7, 7 + len(rule.axes))), ClassifierUse(use="hard", min_probability=51))
    for axis in rule.axes:
        assert str(getattr(values, axis.name)) in str(values)
    assert "51/255" in str(values)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_picture_shows_the_plane_of_the_chosen_values(rule: RuleType) -> None:
    values = rule.at(tuple(range(3, 3 + len(rule.axes))))
    grid = rule.empty_grid()
    grid[values.cell()] = 1
    plane = values.plane(grid)
    assert plane.shape == (len(rule.horizontal().values), len(rule.vertical().values))
    cell = np.unravel_index(plane.argmax(), plane.shape)
    shown = [int(axis.values[i]) for axis, i in zip((rule.horizontal(), rule.vertical()), cell, strict=True)]
    assert plane.sum() == 1
    assert shown == [getattr(values, rule.horizontal().name), getattr(values, rule.vertical().name)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 128, "min_area": 0},
        {"rule": "component_size", "threshold": 128, "min_area": 0},
        {"rule": "mask_area", "threshold": 0, "min_area": 0},
        {"rule": "mask_area", "threshold": 128, "min_area": 0, "high_threshold": 200},
        {"rule": "dual_threshold", "threshold": 128, "min_area": 0},
        {"rule": "expected_dice", "calibration_level": 128, "min_expected_dice": 9, "min_area": 0},
    ],
    ids=str,
)
def test_values_of_no_rule_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parse(wrong)


def test_weighted_means_round_half_up_and_skip_weights_of_zero() -> None:
    maps = [np.array([[0, 255, 3]], dtype=np.uint8), np.array([[1, 255, 6]], dtype=np.uint8)]
    assert mean_map(maps).tolist() == [[1, 255, 5]]
    assert mean_map(maps, [3, 1]).tolist() == [[0, 255, 4]]
    assert mean_map(maps, [0, 1]) is maps[1]


def test_level_counts_are_pixels_and_pixels_of_the_truth_from_each_level_up() -> None:
    rng = np.random.default_rng(0)
    probability, truth = rng.integers(0, 256, (20, 33), dtype=np.uint8), rng.random((20, 33)) < 0.3
    statistics = count_levels(Workspace(20, 33), probability, truth)
    assert statistics.truth_area == truth.sum()
    for level in (1, 2, 100, 254, 255):
        above = probability >= level
        assert statistics.counts[level].tolist() == [above.sum(), (above & truth).sum()]


@pytest.mark.parametrize("level", [1, 60, 128, 200, 254, 255])
def test_levels_are_shifted_by_logits_and_stay_levels(level: int) -> None:
    for logits in (-1.0, 1.0):
        rule = DualThreshold(threshold=level, min_area=3, high_threshold=level).shifted(logits)
        odds = level / max(255 - level, 0.5) * np.exp(logits)
        assert abs(rule.threshold - np.clip(255 * odds / (1 + odds), 1, 255)) <= 0.5
        assert rule.high_threshold == rule.threshold
    assert ComponentArea(threshold=128, min_area=0).shifted(0).threshold == 128
