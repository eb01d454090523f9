"""The class probability of the classification head gates masks, in the ways that tuning compares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from severstal.postprocess.classifier import CANDIDATES, UNUSED, ClassifierUse
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import RULES, ComponentArea, DualThreshold, ExpectedDice, MaskArea, Rule
from severstal.tuning.component_tree import TreeWorkspace
from severstal.tuning.grids import Grids

MAP = np.array([[200, 100, 0], [0, 0, 50]], dtype=np.uint8)
AREA = ClassifierUse(use="area")


@pytest.mark.parametrize(
    ("use", "class_probability", "threshold", "kept"),
    [
        (UNUSED, 0, 100, 2),
        (ClassifierUse(use="hard", min_probability=60), 60, 100, 2),
        (ClassifierUse(use="hard", min_probability=60), 59, 100, 0),
        (ClassifierUse(use="soft"), 255, 100, 2),
        (ClassifierUse(use="soft"), 254, 100, 2),  # 100 becomes 99.6 and is rounded to 100
        (ClassifierUse(use="soft"), 254, 101, 1),
        (ClassifierUse(use="soft"), 126, 100, 0),
    ],
    ids=str,
)
def test_a_gate_lets_pass(use: ClassifierUse, class_probability: int, threshold: int, kept: int) -> None:
    rule = ComponentArea(threshold=threshold, min_area=0, classifier=use)
    assert rule.apply(MAP, class_probability).sum() == kept


@pytest.mark.parametrize(
    "rule",
    [
        ComponentArea(threshold=100, min_area=200, classifier=AREA),
        MaskArea(threshold=100, min_area=200, classifier=AREA),
        DualThreshold(threshold=100, high_threshold=100, min_area=200, classifier=AREA),
        # The square is worth 0.7045 of 1: its expected Dice is 2 * 0.7045 / 1.7045 = 0.8267, 210/255.
        ExpectedDice(calibration_level=128, min_expected_dice=105, classifier=AREA),
    ],
    ids=lambda rule: rule.rule,
)
def test_areas_and_expected_dice_are_weighted_by_the_class_probability(rule: Rule) -> None:
    square = np.zeros((30, 30), dtype=np.uint8)
    square[5:25, 5:25] = 180  # 400 px
    assert rule.apply(square, np.uint8(128)).sum() == 400  # 400 * 128 / 255 = 200.8, and 210 * 128 / 255 = 105.4
    assert rule.apply(square, np.uint8(127)).sum() == 0  # 199.2, and 104.6
    assert rule.model_copy(update={"classifier": UNUSED}).apply(square, 0).sum() == 400


def test_a_soft_gate_multiplies_and_rounds_half_up() -> None:
    for class_probability in (0, 1, 127, 254):
        exact = np.floor(np.arange(256) * class_probability / 255 + 0.5)
        gated = ClassifierUse(use="soft").apply(np.arange(256, dtype=np.uint8), class_probability)
        assert gated.tolist() == exact.tolist()


@pytest.mark.parametrize("wrong", [{"use": "hard"}, {"use": "soft", "min_probability": 3}], ids=str)
def test_only_the_hard_gate_takes_a_minimum_probability(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="min_probability: the hard gate takes one"):
        ClassifierUse.model_validate(wrong)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(CANDIDATES), st.integers(0, 255))
def test_grids_with_a_classifier_are_exact(seed: int, use: ClassifierUse, class_probability: int) -> None:
    rng = np.random.default_rng(seed)
    probability = (rng.random((40, 50)) ** 3 * 256).astype(np.uint8)
    probability[5:25, 5:30] |= rng.integers(64, 256, dtype=np.uint8)
    truth = np.zeros((40, 50), dtype=bool)
    truth[4:22, 8:33] = rng.random() < 0.7
    grids, gated = Grids(), use.apply(probability, class_probability)
    grids.add(TreeWorkspace(40, 50), gated, truth if truth.any() else None, use.area_weight(class_probability))
    for rule in RULES:
        for _ in range(40):
            cell = tuple(int(rng.integers(n)) for n in grids.sums[rule].shape)
            values = rule.at(cell, use)
            assert grids.sums[rule][cell] == dice(values.apply(probability, class_probability), truth), values
