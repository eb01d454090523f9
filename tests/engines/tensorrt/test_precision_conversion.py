"""The graph in float16 and int8: what changes, and what must not."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from severstal.engines.tensorrt import precision_conversion
from severstal.errors import InputError


@pytest.fixture
def model(member) -> onnx.ModelProto:
    return onnx.load(member.files.onnx)


def predict_maps(model: onnx.ModelProto, strips: np.ndarray) -> np.ndarray:
    """Maps of ONNX Runtime without its optimisations, which break float16 scales."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["probability"], {"strips": strips[:, None]})[0].astype(int)


def test_lower_precisions_keep_uint8_input_and_outputs_and_differ_little(model, strips) -> None:
    content = model.SerializeToString()
    exact = predict_maps(model, strips)
    for precision, mean in (("fp16", 0.2), ("int8", 3)):
        converted = precision_conversion.convert_precision(model, precision, list(strips))
        ends = [*converted.graph.input, *converted.graph.output]
        assert {end.type.tensor_type.elem_type for end in ends} == {TensorProto.UINT8}
        difference = np.abs(predict_maps(converted, strips) - exact)
        assert 0 < difference.mean() < mean, precision
    assert model.SerializeToString() == content, "the graph that was converted was changed"


def test_int8_is_symmetric_and_signed_and_leaves_biases_alone(model, strips) -> None:
    converted = precision_conversion.to_int8(model, list(strips))
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in converted.graph.initializer}
    pairs = [node for node in converted.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    convolutions = [node for node in converted.graph.node if node.op_type == "Conv"]
    assert len(pairs) > len(convolutions) > 10
    for node in pairs:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
    dequantised = {node.output[0] for node in pairs if node.op_type == "DequantizeLinear"}
    assert all(set(node.input[:2]) <= dequantised for node in convolutions)
    assert not any(set(node.input[2:]) & dequantised for node in convolutions)


def test_int8_without_strips_names_the_cure(model) -> None:
    with pytest.raises(InputError, match="needs training strips"):
        precision_conversion.to_int8(model, [])
