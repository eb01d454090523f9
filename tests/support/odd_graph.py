"""A graph of five convolutions of which one cannot bear a lower precision, and a fold that scores its maps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from severstal.engines.tensorrt import layer_search

SIZE = (16, 32)
LAYERS = ["first", "second", "third", "fourth", "fifth"]
LIMITS = {"fp16": 0.01, "int8": 0.05}  # what so small a graph loses anyway lies below
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
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    odd_graph = helper.make_graph(nodes, "odd", ends[:1], ends[1:], initializers)
    model = helper.make_model(odd_graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def engine(model: onnx.ModelProto):
    """A call that gives what a GPU would give."""
    return lambda strips: (layer_search.predict_maps(model, list(strips)), None)


class OddFold:
    """Scores by the Dice of what float32 finds above each class's median, so float32 scores 1."""

    reference = 1.0

    def __init__(self, model: onnx.ModelProto) -> None:
        self.member, self.images, self.scored = SimpleNamespace(name="odd fold 0"), range(6), 0
        maps = engine(model)(np.stack(STRIPS))[0]
        assert maps.std(axis=(0, 2, 3)).min() > 10, "maps of one value would prove nothing"
        self._median = np.median(maps, axis=(0, 2, 3), keepdims=True)
        self._truth = maps > self._median

    def calibration_strips(self) -> list[np.ndarray]:
        return STRIPS

    def score(self, predict) -> float:
        self.scored += 1
        found = predict(np.stack(STRIPS))[0] > self._median
        return 2 * float((found & self._truth).sum()) / float(found.sum() + self._truth.sum())
