"""Layers of an ONNX graph: the units that are converted to a lower precision, or kept in float32.

A layer is a node with weights and the nodes after it up to the next. A rounded value does harm where it is used: with
only the convolution in float32, its sum would be rounded right after it. Nodes that share weights are one layer: files
of earlier exports hold the network once per test-time view.
"""

from __future__ import annotations

from collections.abc import Set

import onnx

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def layers(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Names of each layer's nodes, keyed by the name of its first weighted node, in the graph's order.

    A node after two layers, such as their sum, belongs to the later one; nodes before all layers belong to the first.
    """
    constants = {constant.name for constant in model.graph.initializer}
    found: dict[str, list[str]] = {}
    layer_of_weight: dict[str, str] = {}
    layer_of_tensor: dict[str, str] = {}
    before_all: list[str] = []
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            weight = next((name for name in node.input[1:2] if name in constants), node.name)
            layer = layer_of_weight.setdefault(weight, node.name)
        else:
            order = list(found)
            inputs = (layer_of_tensor[name] for name in node.input if name in layer_of_tensor)
            layer = max(inputs, key=order.index, default="")
        (found.setdefault(layer, []) if layer else before_all).append(node.name)
        if layer:
            layer_of_tensor.update(dict.fromkeys(node.output, layer))
    if found:
        next(iter(found.values())).extend(before_all)
    return found


def nodes_of(model: onnx.ModelProto, keep: Set[str]) -> list[str]:
    """Names of all nodes of some layers."""
    return [node for layer, nodes in layers(model).items() if layer in keep for node in nodes]


def join_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let consecutive float32 nodes pass float32 to each other.

    The conversion to float16 leaves every tensor between two nodes in float16, even where both stay in float32: a value
    too large for float16 would be infinite there.

    Returns:
        The same model, changed, with its nodes in execution order.
    """
    from onnxruntime.transformers.onnx_model import OnnxModel

    graph = model.graph
    narrowed = {node.output[0]: node.input[0] for node in graph.node if _is_cast(node, "_cast_to_fp16_node")}
    widening = [node for node in graph.node if _is_cast(node, "_cast_to_fp32_node") and node.input[0] in narrowed]
    source = {node.output[0]: narrowed[node.input[0]] for node in widening}
    for node in widening:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in [node for node in graph.node if node.output[0] in narrowed and node.output[0] not in used]:
        graph.node.remove(node)
    OnnxModel(model).topological_sort()
    return model


def _is_cast(node: onnx.NodeProto, ending: str) -> bool:
    return node.op_type == "Cast" and node.name.endswith(ending)
