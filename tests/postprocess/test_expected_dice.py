"""The rule that takes each map's threshold of highest expected Dice, against plain sums and on what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal.postprocess.metric import dice
from severstal.postprocess.rules.expected_dice import ExpectedDice, best_threshold, calibrated

maps = arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 40, 128, 200, 255]))


@settings(deadline=None)
@given(maps, st.integers(1, 255))
def test_the_threshold_is_the_best_of_all_by_plain_sums(probability: np.ndarray, calibration_level: int) -> None:
    threshold, expected = best_threshold(probability, calibration_level)
    if not probability.any():
        assert (threshold, expected) == (255, 0)
        return
    weights = calibrated(calibration_level)[probability]
    total = weights[probability > 0].sum()
    plain = {}
    for level in range(1, 256):
        kept = probability >= level
        plain[level] = 2 * weights[kept].sum() / (kept.sum() + total) if kept.any() else 0.0
    assert plain[threshold] == pytest.approx(max(plain.values()), rel=1e-12)
    assert expected == pytest.approx(int(plain[threshold] * 255), abs=1)
    assert weights[probability >= threshold].min() >= plain[threshold] / 2 - 1e-9, "a pixel below half of the Dice"


def test_calibration_gives_its_level_a_probability_of_one_half() -> None:
    assert calibrated(200)[200] == pytest.approx(0.5)
    assert calibrated(200)[[0, 255]].tolist() == [0, 1]
    assert (np.diff(calibrated(64)) > 0).all()
    assert np.isfinite(calibrated(255)).all()


def test_a_confident_map_gets_a_higher_threshold_than_a_doubtful_one() -> None:
    """Both hold a square in a haze of a third: one is surely a defect, the other hardly."""
    haze = np.zeros((40, 40), dtype=np.uint8)
    haze[5:35, 5:35] = 85
    confident, doubtful = haze.copy(), haze.copy()
    confident[5:30, 5:30] = 250
    doubtful[5:10, 5:10] = 120
    rule = ExpectedDice(calibration_level=128, min_expected_dice=0)
    assert rule.apply(confident, 255).sum() == 625
    assert rule.apply(doubtful, 255).sum() == 900
    strict = ExpectedDice(calibration_level=128, min_expected_dice=140)
    assert not strict.apply(doubtful, 255).any()
    assert strict.apply(confident, 255).any()


def test_maps_of_mixed_confidence_gain_over_every_single_threshold() -> None:
    """Truth drawn from the maps' own probabilities: the rule reaches the Dice it expects, above any threshold's."""
    rng = np.random.default_rng(0)
    probabilities, truths = [], []
    for number in range(60):
        ceiling = (60, 110, 250)[number % 3]
        slope = np.linspace(0, 1, 80) ** (1, 2, 6)[number % 3] * ceiling
        probability = np.repeat(slope[None], 50, axis=0).astype(np.uint8)
        probabilities.append(probability)
        truths.append(rng.random(probability.shape) < probability / 255)
    rule = ExpectedDice(calibration_level=128, min_expected_dice=0)
    reached = np.mean([dice(rule.apply(p, 255), truth) for p, truth in zip(probabilities, truths, strict=True)])
    single = max(
        np.mean([dice(p >= t, truth) for p, truth in zip(probabilities, truths, strict=True)]) for t in range(1, 256)
    )
    expected = np.mean([best_threshold(p, 128)[1] for p in probabilities]) / 255
    assert reached > single + 0.01
    assert reached == pytest.approx(expected, abs=0.01)
