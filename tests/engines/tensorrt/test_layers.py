"""Layers of a graph: what belongs to each, and graphs in a lower precision with some layers in float32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.odd_graph import LAYERS, STRIPS, engine, graph

from severstal.engines.tensorrt import layers, precision_conversion
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library


def test_a_layer_is_a_convolution_and_what_follows_it() -> None:
    found = layers.layers(graph("third", "fp16"))
    assert list(found) == LAYERS
    assert found["first"] == ["first", "first_relu", "cast", "normalise"]
    assert found["third"] == ["third", "bring_back", "third_relu"]
    assert found["fifth"][0] == "fifth"
    assert found["fifth"][-1] == "most_to_uint8"


def test_nodes_of_one_weight_are_one_layer_and_a_sum_belongs_to_the_later() -> None:
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
def test_a_graph_with_every_layer_in_float32_is_the_original(precision) -> None:
    model = graph("third", precision)
    converted = precision_conversion.convert_precision(model, precision, STRIPS, frozenset(LAYERS))
    onnx.checker.check_model(converted, full_check=True)
    assert np.array_equal(engine(converted)(np.stack(STRIPS))[0], engine(model)(np.stack(STRIPS))[0])
    types = {constant.data_type for constant in converted.graph.initializer}
    assert not types & {TensorProto.FLOAT16, TensorProto.INT8}


def test_ranges_that_were_measured_before_give_the_same_graph(tmp_path) -> None:
    model, path = graph(), tmp_path / "ranges.json"
    measured = precision_conversion.convert_precision(model, "int8", STRIPS, ranges=path).SerializeToString()
    assert path.exists()
    assert precision_conversion.convert_precision(model, "int8", STRIPS, ranges=path).SerializeToString() == measured
    assert precision_conversion.convert_precision(model, "int8", STRIPS).SerializeToString() == measured


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_tensorrt_builds_a_graph_with_one_layer_in_float32(precision) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")
    converted = precision_conversion.convert_precision(graph(), precision, STRIPS, frozenset(["third"]))
    assert build_plan(library(), converted.SerializeToString(), Profile())
