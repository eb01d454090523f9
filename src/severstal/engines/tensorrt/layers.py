"""Layers of an ONNX graph: what is lowered, or kept from it, as one.

A layer is a node with weights and what follows it until the next. A rounded value hurts where it is used, so keeping
only a convolution in float32 would leave its sum to be rounded right behind it. A network that looks at flipped strips
too is in the graph once for each flip; nodes of the same weights are one layer.
"""

from __future__ import annotations

from collections.abc import Set

import onnx

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def layers(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Names of each layer's nodes, by that of its first with weights, in the graph's order.

    What follows two layers, such as their sum, is of the later one; what comes before all is of the first.
    """
    constants = {one.name for one in model.graph.initializer}
    found: dict[str, list[str]] = {}
    of_weight: dict[str, str] = {}
    of_tensor: dict[str, str] = {}
    ahead: list[str] = []
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            weight = next((name for name in node.input[1:2] if name in constants), node.name)
            layer = of_weight.setdefault(weight, node.name)
        else:
            order = list(found)
            layer = max((of_tensor[name] for name in node.input if name in of_tensor), key=order.index, default="")
        (found.setdefault(layer, []) if layer else ahead).append(node.name)
        if layer:
            of_tensor.update(dict.fromkeys(node.output, layer))
    if found:
        next(iter(found.values())).extend(ahead)
    return found


def nodes_of(model: onnx.ModelProto, keep: Set[str]) -> list[str]:
    """Names of all nodes of some layers."""
    return [node for layer, nodes in layers(model).items() if layer in keep for node in nodes]


def join_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let float32 nodes that follow each other hand on float32.

    The conversion to float16 leaves every tensor between two nodes in float16, even where both were to stay in float32:
    what is too large for float16 would be infinite there.

    Returns:
        The same model, changed, its nodes in the order in which they compute.
    """
    from onnxruntime.transformers.onnx_model import OnnxModel

    graph = model.graph
    halved = {node.output[0]: node.input[0] for node in graph.node if _casts(node, "_cast_to_fp16_node")}
    again = [node for node in graph.node if _casts(node, "_cast_to_fp32_node") and node.input[0] in halved]
    exact = {node.output[0]: halved[node.input[0]] for node in again}
    for node in again:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [exact.get(name, name) for name in node.input]
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in [node for node in graph.node if node.output[0] in halved and node.output[0] not in used]:
        graph.node.remove(node)
    OnnxModel(model).topological_sort()
    return model


def _casts(node: onnx.NodeProto, ending: str) -> bool:
    return node.op_type == "Cast" and node.name.endswith(ending)
