"""Which layers fall back to float32 where a whole network in float16 or int8 costs too much Dice.

Layers are ranked by what each alone costs, then given back worst first. Ranking runs one lowered graph per layer in
ONNX Runtime on the CPU, on a few strips; for n layers at most 2 log2(n) + 2 engines are then built and scored, some
fifteen for a hundred layers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from tqdm import tqdm

from severstal.engines.base import Engine
from severstal.engines.dice_check import FoldDice
from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.tensorrt.fp16_simulation import simulate_fp16
from severstal.engines.tensorrt.layers import layers
from severstal.engines.tensorrt.precision_conversion import convert_precision
from severstal.errors import InputError

STRIPS = 4  # that the layers are ranked on
Make = Callable[[onnx.ModelProto, list[str]], Engine]


def search(model: onnx.ModelProto, precision: str, fold: FoldDice, make: Make, limit: float) -> list[str]:
    """The worst layers, as few of them as bring the Dice within ``limit`` of PyTorch's once they are in float32.

    Args:
        model: in float32, with every layer in ``precision`` refused already.
        make: an engine of a lowered graph, given with the layers that stay in float32; called last with those found.

    Raises:
        InputError: if not even all of them do.
    """
    strips, drops = fold.calibration(), {}
    with tempfile.TemporaryDirectory() as folder:
        ranges = Path(folder) / "ranges.json"
        ranked = worst_first(model, precision, strips, ranges)

        def engine(keep: list[str]) -> Engine:
            return make(convert_precision(model, precision, strips, frozenset(keep), ranges), keep)

        def accepted(keep: list[str]) -> bool:
            drops[len(keep)] = fold.reference - fold.of(engine(keep))
            return drops[len(keep)] <= limit

        found = bisect(ranked, accepted)
        if found is None:
            raise InputError(
                f"{fold.member.name}: {precision} loses {drops[len(ranked)]:.5f} of Dice over {len(fold.images)} "
                f"held-out strips even with all {len(ranked)} layers in float32; accepted are {limit}. "
                "Choose --engine tensorrt-fp32"
            )
        if list(drops)[-1] != len(found):
            engine(found)
    return found


def bisect(ranked: list[str], accepted: Callable[[list[str]], bool]) -> list[str] | None:
    """The shortest start of ``ranked`` that is accepted, found by doubling, then by halving what lies between.

    Its empty start is known not to be. None where all of it is not either.
    """
    refused, taken = 0, min(1, len(ranked))
    while refused < taken and not accepted(ranked[:taken]):
        refused, taken = taken, min(2 * taken, len(ranked))
    if refused == taken:
        return None
    while taken - refused > 1:
        middle = (refused + taken) // 2
        if accepted(ranked[:middle]):
            taken = middle
        else:
            refused = middle
    return ranked[:taken]


def worst_first(
    model: onnx.ModelProto, precision: str, strips: Sequence[np.ndarray], ranges: Path | None = None
) -> list[str]:
    """All layers, by how far the maps stray when one alone is lowered.

    Args:
        strips, ranges: as in :func:`lowered.lower`; the maps are those of a few of the strips.
    """
    names, few = layers(model).keys(), strips[:: max(1, len(strips) // STRIPS)][:STRIPS]
    exact, costs = maps(model, few), {}
    for name in tqdm(names, "layers", leave=False, disable=None):
        alone = convert_precision(model, precision, strips, names - {name}, ranges)
        costs[name] = float(np.abs(maps(alone, few) - exact).mean())
    return sorted(costs, key=lambda name: -costs[name])


def maps(model: onnx.ModelProto, strips: Sequence[np.ndarray]) -> np.ndarray:
    """Maps ``int [N, 4, H, W]`` that a graph gives on a GPU, computed on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = simulate_fp16(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(OUTPUTS[:1], {INPUT: strip[None, None]})[0] for strip in strips]).astype(int)
