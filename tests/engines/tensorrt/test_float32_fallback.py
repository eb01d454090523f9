"""Layers that cost too much in a lower precision are found, given back to float32, and told. Engines are built for
real; where they would be run on a GPU, ONNX Runtime runs the graph that they were built from."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from severstal.artifacts import read_json, write_text
from severstal.engines import dice_check, float32_layers
from severstal.engines.tensorrt import engine_file, float32_fallback, layers, precision_conversion, sidecar
from severstal.engines.tensorrt.engine_file import EngineFile
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.paths import Paths

SIZE = (16, 32)
LAYERS = ["first", "second", "third", "fourth", "fifth"]
LIMITS = {"fp16": 0.01, "int8": 0.05}  # what so small a graph loses anyway lies below
T4 = {"name": "NVIDIA T4", "driver_version": "1", "compute_cap": "7.5"}
STRIPS = list(np.random.default_rng(0).integers(0, 256, (6, *SIZE), dtype=np.uint8))


def graph(odd: str = "", precision: str = "") -> onnx.ModelProto:
    """Five convolutions of which ``odd`` cannot bear a precision, and the ends of the real graph.

    For int8 its weights are 200, -200 and small ones: the first two meet equal values, and the small are rounded away.
    For float16 its sums pass 65504, and what follows brings them back.
    """
    generator = np.random.default_rng(1)
    constants = {"scale": np.float32(8 / 255), "levels": np.float32(255), "back": np.float32(2e-5)}
    nodes = [
        helper.make_node("Cast", ["strips"], ["floats"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"], "normalise"),
    ]
    last, channels = "scaled", 1
    for name in LAYERS:
        weight = generator.normal(0, 0.25, (4, channels, 3, 3))
        if name == odd and precision == "int8":
            weight[:, 0], weight[:, 1] = 200, -200
        elif name == odd:
            weight *= 5e4
        weight[1] = weight[0]  # what comes out of the first two channels is alike
        constants[f"{name}.weight"] = weight.astype(np.float32)
        nodes.append(helper.make_node("Conv", [last, f"{name}.weight"], [name], name, pads=[1] * 4))
        last, channels = name, 4
        if name == odd and precision == "fp16":
            nodes.append(helper.make_node("Mul", [last, "back"], ["small"], "bring_back"))
            last = "small"
        if name != LAYERS[-1]:
            nodes.append(helper.make_node("Relu", [last], [f"{name}.relu"], f"{name}_relu"))
            last = f"{name}.relu"
    constants["axes"] = np.array([2, 3])
    nodes += [
        helper.make_node("Sigmoid", [last], ["share"], "sigmoid"),
        helper.make_node("Mul", ["share", "levels"], ["level"], "to_levels"),
        helper.make_node("Round", ["level"], ["rounded"], "round"),
        helper.make_node("Cast", ["rounded"], ["probability"], "to_uint8", to=TensorProto.UINT8),
        helper.make_node("ReduceMax", ["rounded", "axes"], ["most"], "most", keepdims=0),
        helper.make_node("Cast", ["most"], ["class_probability"], "most_to_uint8", to=TensorProto.UINT8),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", *shape])
        for name, shape in (("strips", (1, *SIZE)), ("probability", (4, *SIZE)), ("class_probability", (4,)))
    ]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "odd", ends[:1], ends[1:], held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def engine(model: onnx.ModelProto):
    """What a GPU gives, in the form of an engine."""
    return lambda strips: (float32_fallback.maps(model, list(strips)), None)


class Fold:
    """Scores by the Dice of what float32 finds above each class's median, so float32 scores 1."""

    reference = 1.0

    def __init__(self, model: onnx.ModelProto) -> None:
        self.member, self.images, self.scored = SimpleNamespace(name="odd fold 0"), range(6), 0
        maps = engine(model)(np.stack(STRIPS))[0]
        assert maps.std(axis=(0, 2, 3)).min() > 10, "maps of one value would prove nothing"
        self._cut = np.median(maps, axis=(0, 2, 3), keepdims=True)
        self._truth = maps > self._cut

    def calibration(self) -> list[np.ndarray]:
        return STRIPS

    def of(self, scored) -> float:
        self.scored += 1
        found = scored(np.stack(STRIPS))[0] > self._cut
        return 2 * float((found & self._truth).sum()) / float(found.sum() + self._truth.sum())


# -- layers ---------------------------------------------------------------------------------------------


def test_a_layer_is_a_convolution_and_what_follows_it() -> None:
    found = layers.layers(graph("third", "fp16"))
    assert list(found) == LAYERS
    assert found["first"] == ["first", "first_relu", "cast", "normalise"]
    assert found["third"] == ["third", "bring_back", "third_relu"]
    assert found["fifth"][0] == "fifth"
    assert found["fifth"][-1] == "most_to_uint8"


def test_nodes_of_one_weight_are_one_layer_and_a_sum_is_of_the_later() -> None:
    nodes = [
        helper.make_node("Conv", ["strip", "a"], ["s1"], "of_strip"),
        helper.make_node("Conv", ["flip", "a"], ["f1"], "of_flip"),
        helper.make_node("Conv", ["s1", "b"], ["s2"], "deeper"),
        helper.make_node("Add", ["s2", "s1"], ["sum"], "residual"),
        helper.make_node("Relu", ["f1"], ["out"], "relu_of_flip"),
    ]
    weights = [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), name) for name in "ab"]
    model = helper.make_model(helper.make_graph(nodes, "two", [], [], weights))
    assert layers.layers(model) == {
        "of_strip": ["of_strip", "of_flip", "relu_of_flip"],
        "deeper": ["deeper", "residual"],
    }


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_graph_with_every_layer_kept_is_the_one_in_float32(precision) -> None:
    model = graph("third", precision)
    made = precision_conversion.lower(model, precision, STRIPS, frozenset(LAYERS))
    onnx.checker.check_model(made, full_check=True)
    assert np.array_equal(engine(made)(np.stack(STRIPS))[0], engine(model)(np.stack(STRIPS))[0])
    assert {one.data_type for one in made.graph.initializer} & {TensorProto.FLOAT16, TensorProto.INT8} == set()


def test_ranges_that_were_measured_before_give_the_same_graph(tmp_path) -> None:
    model, path = graph(), tmp_path / "ranges.json"
    measured = precision_conversion.lower(model, "int8", STRIPS, ranges=path).SerializeToString()
    assert path.exists()
    assert precision_conversion.lower(model, "int8", STRIPS, ranges=path).SerializeToString() == measured
    assert precision_conversion.lower(model, "int8", STRIPS).SerializeToString() == measured


# -- the search -----------------------------------------------------------------------------------------


def test_the_fewest_are_found_with_few_engines() -> None:
    for count in range(40):
        ranked = [f"layer {i}" for i in range(count)]
        for needed in range(1, count + 2):
            tried = []
            found = float32_fallback.bisect(
                ranked, lambda keep, needed=needed, tried=tried: tried.append(keep) or len(keep) >= needed
            )
            assert found == (None if needed > count else ranked[:needed])
            assert len(tried) <= 2 * math.log2(max(count, 1)) + 1
            assert len(set(map(len, tried))) == len(tried), "an engine was built twice"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("odd", ["second", "fourth"])
def test_exactly_the_layer_that_cannot_bear_a_precision_is_given_back(precision, odd) -> None:
    model = graph(odd, precision)
    fold, made = Fold(model), []

    def make(given, kept):
        made.append((given, kept))
        return engine(given)

    whole = fold.of(engine(precision_conversion.lower(model, precision, STRIPS)))
    limit = LIMITS[precision]
    assert whole < 1 - limit, "it can bear the precision"
    assert float32_fallback.search(model, precision, fold, make, limit) == [odd]
    given, kept = made[-1]
    assert kept == [odd]
    assert fold.of(engine(given)) >= 1 - limit


def test_what_is_too_large_for_float16_passes_between_layers_that_are_kept() -> None:
    model = graph("third", "fp16")
    nodes = {node.name: node for node in model.graph.node}
    nodes["third_relu"].input[0] = "third"  # is brought back only behind the next convolution
    nodes["fourth_relu"].input[0], nodes["bring_back"].input[0], nodes["bring_back"].output[0] = (
        "small",
        "fourth",
        "small",
    )
    model.graph.node.remove(nodes["bring_back"])
    model.graph.node.insert(list(model.graph.node).index(nodes["fourth_relu"]), nodes["bring_back"])
    onnx.checker.check_model(model, full_check=True)
    fold = Fold(model)
    found = float32_fallback.search(model, "fp16", fold, lambda given, kept: engine(given), LIMITS["fp16"])
    assert sorted(found) == ["fourth", "third"]


def test_a_search_in_vain_names_the_numbers_and_the_cure() -> None:
    model = graph("third", "fp16")
    fold = Fold(model)
    fold.reference = 1.5
    with pytest.raises(InputError, match=r"loses 0\.50000 of Dice over 6 .* all 5 layers .* --engine tensorrt-fp32"):
        float32_fallback.search(model, "fp16", fold, lambda given, kept: engine(given), LIMITS["fp16"])


# -- the engine's files ---------------------------------------------------------------------------------


@pytest.fixture
def member(tmp_path, monkeypatch) -> Member:
    """A member with a graph that neither precision suits, on a GPU of the stand-in."""
    pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")
    made = Member(Paths(tmp_path, tmp_path / "folds", tmp_path), "odd", 0)
    write_text(made.files.weights, "weights")
    monkeypatch.setattr(sidecar, "gpus", lambda: [T4])
    monkeypatch.setattr(engine_file, "gpu_count", lambda: 1)
    monkeypatch.setattr(engine_file, "buffers", lambda: None)
    monkeypatch.setattr(EngineFile, "_open", lambda file, shared: engine(onnx.load(file.converted)))
    monkeypatch.setattr(dice_check, "LARGEST_DROP", LIMITS["int8"])
    return made


def metadata(file: EngineFile) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file.converted).metadata_props}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_engine_keeps_its_layers_on_every_machine(member, precision, capsys, monkeypatch) -> None:
    model = graph("third", precision)
    onnx.save(model, member.files.onnx)
    file, fold = EngineFile(member, precision), Fold(model)
    file.build(fold)
    assert f"{precision} costs 0." in capsys.readouterr().out
    known = read_json(member.files.float32_layers(file.name), "")
    assert known["kept_in_float32"] == ["third"]
    assert known[f"drop_of_all_{precision}"] > 0.1
    assert json.loads(metadata(file)["kept_in_float32"]) == ["third"]
    assert float32_layers.told(float32_layers.read(member, file.name)) == "1 of its layers stay in float32: third"
    assert file.differences() == []

    scored, graph_bytes = fold.scored, file.converted.read_bytes()
    file.build(fold)
    assert fold.scored == scored, "what is known was scored again"
    monkeypatch.setattr(sidecar, "gpus", lambda: [T4 | {"driver_version": "2"}])
    built = file.engine.stat().st_mtime_ns
    file.build()
    assert file.engine.stat().st_mtime_ns > built
    assert file.converted.read_bytes() == graph_bytes
    file.converted.unlink()
    file.build(fold)
    assert fold.scored == scored
    assert file.converted.read_bytes() == graph_bytes

    # Another graph, one that bears it: everything anew.
    onnx.save(graph(), member.files.onnx)
    assert float32_layers.read(member, file.name) is None
    fold = Fold(graph())
    file.build(fold)
    assert fold.scored == 1
    assert float32_layers.read(member, file.name) == []
    assert json.loads(metadata(file)["kept_in_float32"]) == []


def test_a_search_that_did_not_end_begins_with_the_whole_network(member) -> None:
    model = graph("third", "fp16")
    onnx.save(model, member.files.onnx)
    file, fold = EngineFile(member, "fp16"), Fold(model)
    fold.reference = 1.5
    with pytest.raises(InputError, match="all 5 layers"):
        file.build(fold)
    assert len(json.loads(metadata(file)["kept_in_float32"])) == 5
    assert float32_layers.read(member, file.name) is None
    fold.reference = 1.0
    file.build(fold)
    assert float32_layers.read(member, file.name) == ["third"]


def test_without_a_gpu_or_a_lower_precision_nothing_is_scored(member, monkeypatch) -> None:
    model = graph("third", "fp16")
    onnx.save(model, member.files.onnx)
    fold = Fold(model)
    EngineFile(member, "fp32").build(fold)
    monkeypatch.setattr(engine_file, "gpu_count", lambda: 0)
    EngineFile(member, "fp16").build(fold)
    assert fold.scored == 0
    assert float32_layers.read(member, "tensorrt") is None
