"""Engines of lower precision: quantised on training strips, accepted by the Dice of held-out ones."""

from __future__ import annotations

import numpy as np
import openvino
import pytest
from support.scored_member import RULES, SIZE

from severstal.data.labels import masks
from severstal.data.out_of_fold import FoldMaps
from severstal.data.training_set import read_training_set
from severstal.engines import float32_layers, openvino_int8_engine
from severstal.engines.dice_check import MAX_DROP, check_dice
from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.engines.openvino_int8_engine import OpenVinoInt8Engine
from severstal.engines.torch_engine import TorchEngine
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import masks_of


def test_the_dice_of_a_fold_is_that_of_its_held_out_strips_alone(fold, fresh_member) -> None:
    data, store = read_training_set(fresh_member.paths), FoldMaps(fresh_member.files.oof, "")
    assert sorted(fold.images) == sorted(data.images(0, held_out=True))
    scores = [
        dice(masks_of(store[image], store.class_probability(image), RULES), masks(data.labels[image], *SIZE)).mean()
        for image in store.images
    ]
    assert fold.reference == pytest.approx(np.mean(scores))
    assert fold.score(TorchEngine.load(fresh_member)) == pytest.approx(fold.reference)
    assert len(fold.calibration_strips()) == len(data.images(0, held_out=False))


def test_an_engine_that_loses_too_much_dice_is_refused(fold) -> None:
    def predict_everything(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = np.full((len(strips), 4, *SIZE), 255, dtype=np.uint8)
        return maps, maps.max(axis=(2, 3))

    score = fold.score(predict_everything)
    fold.reference = score + 0.0009
    assert check_dice("engine", fold, predict_everything) == {
        "pytorch": fold.reference,
        "engine": score,
        "strips": 6,
    }
    fold.reference = score + 0.0011
    with pytest.raises(
        InputError, match=r"engine loses 0\.00110 of Dice .* over 6 held-out strips; accepted are 0.001"
    ):
        check_dice("engine", fold, predict_everything)
    assert MAX_DROP == 0.001


@pytest.mark.slow
def test_int8_keeps_all_layers_where_the_dice_allows_and_returns_some_to_float32_where_not(fold, fresh_member) -> None:
    OpenVinoInt8Engine.build(fresh_member, fold, max_drop=2.0)  # any Dice is accepted
    assert float32_layers.read(fresh_member, "openvino-int8") == []
    strips = np.stack([fold.read_strip(image) for image in fold.images])
    exact = OpenVinoEngine.load(fresh_member)(strips)[0]
    quantised = OpenVinoInt8Engine.load(fresh_member)(strips)[0]
    assert not np.array_equal(exact, quantised), "nothing was quantised"
    assert np.abs(exact.astype(int) - quantised).mean() < 12
    quantised_values = count_quantised_values(fresh_member)

    OpenVinoInt8Engine.build(fresh_member, fold, max_drop=-1.0)  # no Dice is accepted
    restored = OpenVinoInt8Engine.load(fresh_member)(strips)[0]
    # Where no layer in float32 brings this hardly trained network a higher Dice, the search returns none.
    returned = float32_layers.read(fresh_member, "openvino-int8")
    assert bool(returned) == (0 < count_quantised_values(fresh_member) < quantised_values)
    assert np.abs(exact.astype(int) - restored).mean() < 12


def test_the_layers_in_float32_are_those_without_quantised_weights(fresh_member) -> None:
    import nncf  # which takes seconds that the other tests' process need not spend

    original = openvino.Core().read_model(fresh_member.files.onnx)
    convolutions = [
        node.get_friendly_name() for node in original.get_ordered_ops() if "Convolution" in node.get_type_name()
    ]
    calibration = nncf.Dataset([np.random.default_rng(0).integers(0, 255, (1, 1, 64, 96), np.uint8)])
    for kept in ([], convolutions[3:5]):
        scope = nncf.IgnoredScope(names=kept, validate=False)
        quantised = nncf.quantize(original, calibration, subset_size=1, ignored_scope=scope)
        assert openvino_int8_engine._float32_convolutions(quantised) == kept


def test_int8_without_strips_to_calibrate_on_names_the_cure(fresh_member) -> None:
    with pytest.raises(InputError, match=r"needs strips to calibrate on: .*bin/export\.sh"):
        OpenVinoInt8Engine.build(fresh_member)


def count_quantised_values(member: Member) -> int:
    """How many values the engine on disk rounds to int8."""
    model = openvino.Core().read_model(member.files.openvino("openvino-int8"))
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())
