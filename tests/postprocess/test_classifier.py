"""The classification head: how its word bears on masks, how tuning chooses that, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_tuning import Strips

from severstal.data import out_of_fold
from severstal.errors import InputError
from severstal.postprocess.classifier import CANDIDATES, UNUSED, ClassifierUse
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import Rule, mask
from severstal.tuning import component_tree, passes, search
from severstal.tuning.selection import rule_at

MAP = np.array([[200, 100, 0], [0, 0, 50]], dtype=np.uint8)


@pytest.mark.parametrize(
    ("use", "class_probability", "kept"),
    [
        (UNUSED, 0, 2),
        (ClassifierUse(use="hard", min_probability=60), 60, 2),
        (ClassifierUse(use="hard", min_probability=60), 59, 0),
        (ClassifierUse(use="soft"), 255, 2),
        (ClassifierUse(use="soft"), 254, 1),  # 100 becomes 99.6, rounded 100; see the threshold
        (ClassifierUse(use="soft"), 126, 0),
    ],
)
def test_gates(use: ClassifierUse, class_probability: int, kept: int) -> None:
    threshold = 101 if class_probability == 254 else 100
    assert mask(MAP, Rule(threshold=threshold, min_area=0, class_probability=use), class_probability).sum() == kept


@pytest.mark.parametrize("rule", ["component_area", "mask_area", "dual_threshold"])
def test_areas_count_by_the_presence(rule: str) -> None:
    square = np.zeros((30, 30), dtype=np.uint8)
    square[5:25, 5:25] = 180  # 400 px
    rule = Rule(
        rule=rule,
        threshold=100,
        min_area=200,
        high_threshold=100 if rule == "dual_threshold" else None,
        classifier=ClassifierUse(use="area"),
    )
    assert mask(square, rule, np.uint8(128)).sum() == 400  # 400 * 128 / 255 = 200.8
    assert mask(square, rule, np.uint8(127)).sum() == 0  # 199.2
    assert mask(square, rule.model_copy(update={"min_area": 0}), 0).sum() == 400


def test_a_promise_counts_by_the_presence() -> None:
    square = np.zeros((30, 30), dtype=np.uint8)
    square[5:25, 5:25] = 180  # worth 0.7045 of 1: promises 2 * 0.7045 / 1.7045 = 0.8267, 210/255
    rule = Rule(
        name="expected_dice",
        threshold=128,
        min_area=0,
        min_expected_dice=105,
        classifier=ClassifierUse(use="area"),
    )
    assert mask(square, rule, np.uint8(128)).sum() == 400  # 210 * 128 / 255 = 105.4
    assert mask(square, rule, np.uint8(127)).sum() == 0  # 104.6
    assert mask(square, rule.model_copy(update={"class_probability": UNUSED}), 0).sum() == 400


def test_a_soft_gate_multiplies_and_rounds_half_up() -> None:
    for class_probability in (0, 1, 127, 254):
        exact = np.floor(np.arange(256) * class_probability / 255 + 0.5)
        assert (
            ClassifierUse(use="soft").applied(np.arange(256, dtype=np.uint8), class_probability).tolist()
            == exact.tolist()
        )


def test_a_level_belongs_to_a_hard_gate() -> None:
    for wrong in ({"use": "hard"}, {"use": "soft", "least": 3}):
        with pytest.raises(ValueError, match="least: a hard gate takes one"):
            ClassifierUse(**wrong)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(CANDIDATES), st.integers(0, 255))
def test_sweeps_with_a_head_are_predictions_own_cuts(seed: int, use: ClassifierUse, class_probability: int) -> None:
    rng = np.random.default_rng(seed)
    probability = (rng.random((40, 50)) ** 3 * 256).astype(np.uint8)
    probability[5:25, 5:30] |= rng.integers(64, 256, dtype=np.uint8)
    truth = np.zeros((40, 50), dtype=bool)
    truth[4:22, 8:33] = rng.random() < 0.7
    grids = component_tree.Grids()
    swept = use.applied(probability, class_probability)
    grids.add(
        component_tree.Workspace(40, 50), swept, truth if truth.any() else None, use.area_weight(class_probability)
    )
    for family in ("component_area", "mask_area", "dual_threshold"):
        grid = getattr(grids, family)
        for _ in range(40):
            cell = tuple(int(rng.integers(n)) for n in grid.shape)
            rule = rule_at(family, cell).model_copy(update={"class_probability": use})
            assert grid[cell] == dice(mask(probability, rule, class_probability), truth), (family, cell)


class StripsWithHeads(Strips):
    """Maps that cannot tell clean strips from others, and heads that can, or can not."""

    has_heads = True

    def __init__(self, *, tells: bool) -> None:
        super().__init__(3, 16, {"a": 30, "b": 30})
        rng = np.random.default_rng(5)
        self._presences = {}
        for image, truth in self._truth.items():
            for maps in self._maps[image]:  # every clean strip looks like one with a defect
                if not truth.any():
                    maps[:, 8:24, 12:40] = np.clip(maps[:, 8:24, 12:40].astype(int) + 110, 0, 255)
            sure = np.where(truth.any(axis=(1, 2)), 200, 20) if tells else np.full(4, 110)
            self._presences[image] = [(sure + rng.integers(-20, 20, 4)).astype(np.uint8) for _ in self.encoders]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        return self._presences[image]


def test_a_head_that_tells_is_used_and_one_that_does_not_is_not() -> None:
    telling = search.tune(StripsWithHeads(tells=True), workers=2)
    assert all(rule.class_probability.use != "none" for rule in telling.values.rules)
    assert telling.dices["nested"].mean() > 0.9
    assert telling.heads.shape == (len(CANDIDATES), 4)
    assert telling.heads[0].max() < telling.heads.max(axis=0).min() - 0.2
    useless = search.tune(StripsWithHeads(tells=False), workers=2)
    assert all(rule.class_probability == UNUSED for rule in useless.values.rules)
    assert useless.dices["nested"].mean() < 0.7


def test_passes_give_each_use_the_grid_of_its_own_sweep() -> None:
    source = StripsWithHeads(tells=True)
    blocks = passes.blocks_of(source.folds)
    sums = passes.sweep_uses(source, blocks, (1, 1), 2)
    for number in (0, 4, len(CANDIDATES) - 2, len(CANDIDATES) - 1):
        key = ((1, 1), 2, CANDIDATES[number])
        swept = passes.sweep_blocks(source, blocks, [key], 2)[key]
        assert np.allclose(sums[number, :, 2], swept.sums["mask_area"], atol=1e-5)


# -- the head itself -------------------------------------------------------------------------------


def test_a_store_without_presences_is_refused(tmp_path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "oof.npz", "w") as archive:
        archive.writestr(out_of_fold.META, "{}")
    with pytest.raises(InputError, match=r"damaged.*run `train`"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")
