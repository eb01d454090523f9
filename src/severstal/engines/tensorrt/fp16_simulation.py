"""A float16 graph for a CPU: float32 nodes whose results are all rounded to float16, as a GPU's would be.

ONNX Runtime has no float16 nodes for the CPU. It runs them in float32 and drops the casts between them, so nothing is
rounded, and what overflows on a GPU (beyond 65504) goes unnoticed.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference


def simulate_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in float32, with a cast to float16 and back after every node whose results are float16."""
    simulated = shape_inference.infer_shapes(model)
    graph = simulated.graph
    float16 = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for constant in graph.initializer:
        if constant.data_type == TensorProto.FLOAT16:
            widened = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(widened, constant.name))
    nodes = [part for node in graph.node for part in _with_casts(node, float16)]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return simulated


def _with_casts(node: onnx.NodeProto, float16: set[str]) -> list[onnx.NodeProto]:
    """A node, and the casts that round those of its results that are float16."""
    casts = []
    for index, name in enumerate(node.output):
        if name in float16:
            exact, rounded = f"{name}/float32", f"{name}/float16"
            node.output[index] = exact
            casts.append(helper.make_node("Cast", [exact], [rounded], rounded, to=TensorProto.FLOAT16))
            casts.append(helper.make_node("Cast", [rounded], [name], f"{name}/back", to=TensorProto.FLOAT))
    return [node, *casts]
