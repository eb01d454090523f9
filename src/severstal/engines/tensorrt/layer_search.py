"""Which layers fall back to float32 where an entire network in float16 or int8 costs too much Dice.

Layers are ranked by what each alone costs, then returned to float32, the worst first. Ranking runs one converted graph
per layer in ONNX Runtime on the CPU, on a few strips. For n layers at most 2 log2(n) + 2 engines are then built and
scored, some fifteen for a hundred layers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from tqdm import tqdm

from severstal.engines.dice_check import FoldScorer
from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.outputs import Predict
from severstal.engines.tensorrt.fp16_simulation import simulate_fp16
from severstal.engines.tensorrt.layers import layers
from severstal.engines.tensorrt.precision_conversion import convert_precision
from severstal.errors import InputError

RANKING_STRIPS = 4

Build = Callable[[onnx.ModelProto, list[str]], Predict]


def search(model: onnx.ModelProto, precision: str, fold: FoldScorer, build: Build, max_drop: float) -> list[str]:
    """The worst layers, as few as possible, that have to be in float32 for the Dice to be accepted.

    Args:
        model: in float32; with every layer in ``precision`` it was refused before.
        build: makes an engine of a converted graph and the names of its float32 layers. The last call is the one with
            the layers that are returned.
        max_drop: loss of Dice against PyTorch that is accepted.

    Raises:
        InputError: if too much Dice is lost even with all layers in float32.
    """
    strips, drops = fold.calibration_strips(), {}
    with tempfile.TemporaryDirectory() as folder:
        ranges = Path(folder) / "ranges.json"
        ranked = rank_layers(model, precision, strips, ranges)

        def engine(keep: list[str]) -> Predict:
            return build(convert_precision(model, precision, strips, frozenset(keep), ranges), keep)

        def accepted(keep: list[str]) -> bool:
            drops[len(keep)] = fold.reference - fold.score(engine(keep))
            return drops[len(keep)] <= max_drop

        found = bisect(ranked, accepted)
        if found is None:
            raise InputError(
                f"{fold.member.name}: {precision} loses {drops[len(ranked)]:.5f} of Dice over {len(fold.images)} "
                f"held-out strips even with all {len(ranked)} layers in float32; accepted are {max_drop}. "
                "Choose --engine tensorrt-fp32"
            )
        if list(drops)[-1] != len(found):
            engine(found)
    return found


def bisect(ranked: list[str], accepted: Callable[[list[str]], bool]) -> list[str] | None:
    """The shortest prefix of ``ranked`` that is accepted, found by doubling, then by halving the interval between.

    The empty prefix is known to be refused. None where the entire list is refused too.
    """
    refused, longest = 0, min(1, len(ranked))
    while refused < longest and not accepted(ranked[:longest]):
        refused, longest = longest, min(2 * longest, len(ranked))
    if refused == longest:
        return None
    while longest - refused > 1:
        middle = (refused + longest) // 2
        if accepted(ranked[:middle]):
            longest = middle
        else:
            refused = middle
    return ranked[:longest]


def rank_layers(
    model: onnx.ModelProto, precision: str, strips: Sequence[np.ndarray], ranges: Path | None = None
) -> list[str]:
    """All layers, in descending order of how far the maps move when that layer alone is converted.

    Args:
        strips, ranges: as in :func:`precision_conversion.convert_precision`; maps are compared on a few of the strips.
    """
    names, sample = layers(model).keys(), strips[:: max(1, len(strips) // RANKING_STRIPS)][:RANKING_STRIPS]
    exact, costs = predict_maps(model, sample), {}
    for name in tqdm(names, "layers", leave=False, disable=None):
        converted = convert_precision(model, precision, strips, names - {name}, ranges)
        costs[name] = float(np.abs(predict_maps(converted, sample) - exact).mean())
    return sorted(costs, key=lambda name: -costs[name])


def predict_maps(model: onnx.ModelProto, strips: Sequence[np.ndarray]) -> np.ndarray:
    """Maps ``int64 [N, 4, H, W]`` that a graph gives on a GPU, computed on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = simulate_fp16(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(OUTPUTS[:1], {INPUT: strip[None, None]})[0] for strip in strips]).astype(int)
