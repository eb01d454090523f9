"""The rule that cuts each strip where it promises most Dice, against plain sums and against what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal.postprocess import expected_dice
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import Rule, mask

maps = arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 40, 128, 200, 255]))


@settings(deadline=None)
@given(maps, st.integers(1, 255))
def test_the_cut_is_the_best_of_all_by_plain_sums(probability: np.ndarray, calibration_level: int) -> None:
    level, expected = expected_dice.best_of_map(probability, calibration_level)
    area_weight = expected_dice.calibrated(calibration_level)[probability]
    everything = area_weight[probability > 0].sum()
    plain = {}
    for at in range(1, 256):
        kept = probability >= at
        plain[at] = 2 * area_weight[kept].sum() / (kept.sum() + everything) if kept.any() else 0.0
    if not probability.any():
        assert (level, expected) == (255, 0)
        return
    assert plain[level] == pytest.approx(max(plain.values()), rel=1e-12)
    assert expected == pytest.approx(int(plain[level] * 255), abs=1)
    assert area_weight[probability >= level].min() >= plain[level] / 2 - 1e-9, (
        "a pixel below half of the promise was kept"
    )


def test_levels_are_read_by_the_one_that_is_worth_one_half() -> None:
    assert expected_dice.calibrated(200)[200] == pytest.approx(0.5)
    assert expected_dice.calibrated(200)[[0, 255]].tolist() == [0, 1]
    assert (np.diff(expected_dice.calibrated(64)) > 0).all()
    assert np.isfinite(expected_dice.calibrated(255)).all()


def test_a_sure_strip_is_cut_higher_than_an_unsure_one() -> None:
    """Both hold a square that is surely a defect or hardly one, in a haze of a third."""
    haze = np.zeros((40, 40), dtype=np.uint8)
    haze[5:35, 5:35] = 85
    sure, unsure = haze.copy(), haze.copy()
    sure[5:30, 5:30] = 250
    unsure[5:10, 5:10] = 120
    rule = Rule(name="expected_dice", threshold=128, min_area=0, min_expected_dice=0)
    assert mask(sure, rule, 255).sum() == 625
    assert mask(unsure, rule, 255).sum() == 900
    assert not mask(unsure, rule.model_copy(update={"min_expected_dice": 140}), 255).any()
    assert mask(sure, rule.model_copy(update={"min_expected_dice": 140}), 255).any()


def test_strips_of_mixed_sureness_gain_over_every_single_threshold() -> None:
    """Truth drawn by the maps' own probabilities: the rule reaches what it promises, and more than any threshold."""
    rng = np.random.default_rng(0)
    probabilities, truths = [], []
    for number in range(60):
        ceiling = (60, 110, 250)[number % 3]
        slope = np.linspace(0, 1, 80) ** (1, 2, 6)[number % 3] * ceiling
        probability = np.repeat(slope[None], 50, axis=0).astype(np.uint8)
        probabilities.append(probability)
        truths.append(rng.random(probability.shape) < probability / 255)
    rule = Rule(name="expected_dice", threshold=128, min_area=0, min_expected_dice=0)
    reached = np.mean([dice(mask(p, rule, 255), t) for p, t in zip(probabilities, truths, strict=True)])
    single = max(
        np.mean([dice(p >= t, truth) for p, truth in zip(probabilities, truths, strict=True)]) for t in range(1, 256)
    )
    expected = np.mean([expected_dice.best_of_map(p, 128)[1] for p in probabilities]) / 255
    assert reached > single + 0.01
    assert reached == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("wrong", [{"min_expected_dice": None}, {"min_area": 3}])
def test_a_promise_takes_its_least_and_no_area(wrong) -> None:
    with pytest.raises(ValueError, match="min_expected_dice: the expected_dice rule takes it, and 0 for min_area"):
        Rule(**{"name": "expected_dice", "threshold": 128, "min_area": 0, "min_expected_dice": 9} | wrong)
    with pytest.raises(ValueError, match="min_expected_dice: the expected_dice rule"):
        Rule(threshold=128, min_area=0, least=9)
