"""int8 engines: quantised on training strips, judged by the Dice of held-out ones."""

from __future__ import annotations

import json

import numpy as np
import openvino
import pytest

from severstal import recipe
from severstal.artifacts import write_json
from severstal.data import out_of_fold
from severstal.data.labels import masks
from severstal.data.training_set import read_training_set
from severstal.engines import catalog, dice_check, export, openvino_int8_engine
from severstal.engines.dice_check import FoldScorer
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import ComponentArea
from severstal.training.job import Job

RULES = (ComponentArea(threshold=90, min_area=4), ComponentArea(threshold=128, min_area=0)) * 2


@pytest.fixture
def member(tiny) -> Member:
    """A network of a few steps, with its out-of-fold maps and its ONNX file."""
    values = recipe.read(tiny.recipe).model_dump() | {"tta": [], "learning_rate": 0.01, "epochs": 2}
    write_json(tiny.recipe, values)
    made = Member(tiny, "tu-mobilenetv4_conv_small", 0)
    Job.of(made, read_training_set(tiny), recipe.read(tiny.recipe), {}).run()
    export.write_onnx(made)
    return made


def test_the_dice_of_a_fold_is_that_of_its_held_out_strips_alone(member) -> None:
    data = read_training_set(member.paths)
    fold, store = FoldScorer(member, data, RULES), out_of_fold.FoldMaps(member.files.oof, "")
    assert sorted(fold.images) == sorted(data.images(0, held_out=True))
    scores = []
    for image in store.images:
        rule = np.stack([values.apply(one, 255) for one, values in zip(store[image], RULES, strict=True)])
        scores.append(dice(rule, masks(data.labels[image], 64, 96)).mean())
    assert fold.reference == pytest.approx(np.mean(scores))
    assert fold.of(catalog.engine_class("torch").load(member)) == pytest.approx(fold.reference, abs=0.01)
    assert len(fold.calibration()) == len(data.images(0, held_out=False))


@pytest.mark.slow
def test_int8_is_kept_where_the_dice_stays_and_layers_are_given_back_where_it_does_not(member) -> None:
    data = read_training_set(member.paths)
    fold = FoldScorer(member, data, RULES)
    openvino_int8_engine.build(member, fold, limit=2.0)  # anything will do
    said = json.loads(member.files.float32_layers("openvino-int8").read_text())
    assert said["kept_in_float32"] == []
    plain = openvino_int8_engine.load(member)
    strips = np.stack([fold.strip(image) for image in fold.images])
    exact = catalog.engine_class("openvino").load(member)(strips)[0]
    quantised = plain(strips)[0]
    assert not np.array_equal(exact, quantised), "nothing was quantised"
    assert np.abs(exact.astype(int) - quantised).mean() < 12
    everywhere = quantisers(member)

    openvino_int8_engine.build(member, fold, limit=-1.0)  # nothing will do
    restored = openvino_int8_engine.load(member)(strips)[0]
    said = json.loads(member.files.float32_layers("openvino-int8").read_text())
    assert said["kept_in_float32"]
    assert 0 < quantisers(member) < everywhere
    assert np.abs(exact.astype(int) - restored).mean() < 12


def quantisers(member: Member) -> int:
    """How many values the engine on disk rounds to int8."""
    model = openvino.Core().read_model(member.files.openvino("openvino-int8"))
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def test_an_engine_that_loses_too_much_is_refused(member) -> None:
    data = read_training_set(member.paths)
    fold = FoldScorer(member, data, RULES)

    def everything(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = np.full((len(strips), 4, 64, 96), 255, dtype=np.uint8)
        return maps, maps.max(axis=(2, 3))

    fold.reference = 0.9
    with pytest.raises(InputError, match=r"loses 0\.\d+ of Dice .* over 6 held-out strips"):
        export.check_dice("engine", fold, everything)
    exact = catalog.engine_class("torch").load(member)
    fold.reference = fold.of(exact)
    assert export.check_dice("engine", fold, exact)["engine"] == fold.reference
    assert dice_check.MAX_DROP == 0.001
