"""What tuning chooses, and that its scores are those of prediction on strips that the choice was not made on."""

from __future__ import annotations

import numpy as np
import pytest
from support.plain_tuning import Strips

from severstal.postprocess.classifier import CANDIDATES, UNUSED
from severstal.postprocess.rules import DEFAULT, ComponentArea, MaskArea
from severstal.tuning import blocks, grids, search
from severstal.tuning.scoring import Values


def test_scores_are_those_of_prediction_and_nested_ones_use_the_other_folds_choice() -> None:
    source = Strips(3, 12, {"a": 40, "b": 60})
    result = search.tune(source, workers=2)
    default = Values((1, 1), (DEFAULT,) * 4)
    assert np.array_equal(result.dices["default"], np.concatenate([source.score(k, default) for k in range(3)]))
    assert np.array_equal(result.dices["tuned"], np.concatenate([source.score(k, result.values) for k in range(3)]))
    nested = np.concatenate([source.score(k, result.nested[k]) for k in range(3)])
    assert np.array_equal(result.dices["nested"], nested)
    assert result.dices["all_empty"].mean() == 0.5
    assert result.dices["nested"].mean() > result.dices["default"].mean() + 0.1


def test_a_folds_nested_choice_does_not_depend_on_its_own_strips() -> None:
    source = Strips(3, 8, {"a": 40, "b": 60})
    before = search.tune(source, workers=1).nested[1]
    rng = np.random.default_rng(0)
    for image in source.folds[1]:
        source._maps[image] = [rng.integers(0, 255, maps.shape, dtype=np.uint8) for maps in source._maps[image]]
    assert search.tune(source, workers=2).nested[1] == before


def test_candidate_ensemble_weights_are_all_ways_to_share_out_four_parts() -> None:
    candidates = search.candidate_ensemble_weights(2)
    assert candidates[0] == (1, 1)
    assert set(candidates) == {(1, 1), (1, 0), (0, 1), (3, 1), (1, 3)}


def test_an_encoder_of_noise_gets_little_weight_and_equal_encoders_get_equal_weights() -> None:
    assert search.tune(Strips(3, 16, {"good": 25, "noise": 400}), 2).values.ensemble_weights in {(1, 0), (3, 1)}
    assert search.tune(Strips(3, 16, {"a": 40, "b": 40}), 2).values.ensemble_weights == (1, 1)


def test_a_class_that_never_occurs_is_predicted_empty() -> None:
    result = search.tune(Strips(2, 8, {"a": 30}, occurring=(1, 2, 3)), workers=1)
    assert result.dices["tuned"][:, 3].mean() == 1
    assert result.dices["default"][:, 3].mean() < 1


def test_a_grid_that_disagrees_with_prediction_stops_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(cls: type[MaskArea], statistics: object, grid: np.ndarray) -> None:
        grid += 0.99

    for rule in (ComponentArea, MaskArea):
        monkeypatch.setattr(rule, "add_to_grid", classmethod(shifted))
    with pytest.raises(AssertionError, match="the grid says"):
        search.tune(Strips(2, 4, {"a": 30}), workers=1)


class StripsWithHeads(Strips):
    """Maps that cannot tell clean strips from others, and heads that can or cannot."""

    has_heads = True

    def __init__(self, *, informative: bool) -> None:
        super().__init__(3, 16, {"a": 30, "b": 30})
        rng = np.random.default_rng(5)
        self._class_probabilities = {}
        for image, truth in self._truth.items():
            for maps in self._maps[image]:  # every clean strip looks like one with a defect
                if not truth.any():
                    maps[:, 8:24, 12:40] = np.clip(maps[:, 8:24, 12:40].astype(int) + 110, 0, 255)
            centre = np.where(truth.any(axis=(1, 2)), 200, 20) if informative else np.full(4, 110)
            noisy = [centre + rng.integers(-20, 20, 4) for _ in self.encoders]
            self._class_probabilities[image] = [probabilities.astype(np.uint8) for probabilities in noisy]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        return self._class_probabilities[image]


def test_a_classifier_that_knows_is_used_and_one_that_does_not_is_not() -> None:
    informative = search.tune(StripsWithHeads(informative=True), workers=2)
    assert all(rule.classifier.use != "none" for rule in informative.values.rules)
    assert informative.dices["nested"].mean() > 0.9
    assert informative.classifier_scores.shape == (len(CANDIDATES), 4)
    assert informative.classifier_scores[0].max() < informative.classifier_scores.max(axis=0).min() - 0.2
    useless = search.tune(StripsWithHeads(informative=False), workers=2)
    assert all(rule.classifier == UNUSED for rule in useless.values.rules)
    assert useless.dices["nested"].mean() < 0.7


def test_plain_values_are_chosen_on_no_strip_and_scored_on_all() -> None:
    source = StripsWithHeads(informative=True)
    result = search.untuned(source, workers=2)
    (rule,) = set(result.values.rules)
    assert (rule.threshold, rule.classifier.min_probability, result.classifier_scores) == (128, 128, None)
    assert result.nested == [result.values] * len(source.folds)
    assert np.array_equal(result.dices["nested"], result.dices["tuned"])
    without = search.untuned(Strips(2, 8, {"a": 30}), workers=1)
    assert without.values.rules[0].classifier == UNUSED, "networks without a classifier"


def test_the_pass_that_compares_classifier_uses_counts_what_the_full_pass_counts() -> None:
    source = StripsWithHeads(informative=True)
    dealt = blocks.deal(source.folds)
    sums = grids.grids_of_classifier_uses(source, dealt, (1, 1), 2)
    keys = [((1, 1), 2, CANDIDATES[number]) for number in (0, 4, len(CANDIDATES) - 2, len(CANDIDATES) - 1)]
    full = grids.grids_of(source, dealt, keys, 2)
    for key in keys:
        assert np.allclose(sums[CANDIDATES.index(key[2]), :, 2], full[key].sums[MaskArea], atol=1e-5)


def test_intervals_hold_the_mean_and_narrow_with_more_strips() -> None:
    rng = np.random.default_rng(0)
    few = {name: rng.random((30, 4)) for name in ("all_empty", "default", "tuned", "nested")}
    many = {name: np.tile(scores, (16, 1)) for name, scores in few.items()}
    widths = []
    for dices in (few, many):
        low, high = search.intervals(dices)["nested"]["2"]
        assert low < dices["nested"][:, 1].mean() < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)
