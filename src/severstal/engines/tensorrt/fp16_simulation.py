"""A float16 graph for a CPU: float32 nodes, of which every result is rounded to float16 as a GPU's would be.

ONNX Runtime has no float16 nodes for the CPU. It runs them in float32 and drops the casts between them, so nothing is
rounded, and what overflows on a GPU (beyond 65504) passes unseen.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference


def simulate_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in float32, with a cast to float16 and back behind every node whose results are float16."""
    made = shape_inference.infer_shapes(model)
    graph = made.graph
    halves = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for constant in graph.initializer:
        if constant.data_type == TensorProto.FLOAT16:
            exact = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(exact, constant.name))
    nodes = [part for node in graph.node for part in _with_casts(node, halves)]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return made


def _with_casts(node: onnx.NodeProto, halves: set[str]) -> list[onnx.NodeProto]:
    casts = []
    for index, name in enumerate(node.output):
        if name in halves:
            wide, calibration_level = f"{name}/float32", f"{name}/float16"
            node.output[index] = wide
            casts.append(
                helper.make_node("Cast", [wide], [calibration_level], calibration_level, to=TensorProto.FLOAT16)
            )
            casts.append(helper.make_node("Cast", [calibration_level], [name], f"{name}/back", to=TensorProto.FLOAT))
    return [node, *casts]
