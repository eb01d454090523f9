"""A check of engines on this machine: built, compared with PyTorch, scored; and averages made where they compute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from severstal.engines import float32_layers
from severstal.engines.base import Engine
from severstal.engines.dice_check import FoldScorer
from severstal.engines.member_export import export_onnx
from severstal.engines.outputs import Predict
from severstal.engines.parity import PARITY_STRIPS, check_parity, compare
from severstal.engines.refusal import recorded_refusal
from severstal.engines.torch_engine import TorchEngine
from severstal.errors import InputError, first_line
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.rules import Rule

AVERAGED_COUNTS = (4, 4, 4, 3)  # strips per call: direct, recorded, replayed, and another number


@dataclass
class EngineCheck:
    """What was found of one engine of one network, or of all networks averaged.

    Attributes:
        network: name of the member, or ``all 4``.
        predict: None where the engine cannot be used; it is not part of the JSON.
        failure: why the check failed; None where it passed.
        facts: figures by name.
    """

    network: str
    engine: str
    predict: Predict | None = None
    failure: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        failure = {} if self.failure is None else {"failure": self.failure}
        return {"network": self.network, "engine": self.engine} | self.facts | failure


def draw_strips(fold: FoldScorer, count: int) -> np.ndarray:
    """``count`` held-out strips ``uint8 [count, H, W]``, from the first again where there are fewer."""
    images = [fold.images[i % len(fold.images)] for i in range(count)]
    return np.stack([fold.read_strip(image) for image in images])


def check_engine(
    engine_class: type[Engine], fold: FoldScorer, strips: np.ndarray, rules: tuple[Rule, ...]
) -> EngineCheck:
    """Build and load an engine, compare it with PyTorch in float32, score it on the fold's held-out strips."""
    member, name = fold.member, engine_class.name
    check = EngineCheck(member.name, name)
    thresholds = [rule.decision_level for rule in rules]
    try:
        reference = TorchEngine.load(member)
        if engine_class.reads_onnx:
            export_onnx(member, reference, strips[:PARITY_STRIPS], thresholds)
        began = time.monotonic()
        engine_class.build(member, fold)
        engine = engine_class.load(member)
        check.facts |= {"built_in": time.monotonic() - began, "kept": float32_layers.read(member, name)}
        parity = compare(reference, engine, strips[:PARITY_STRIPS], thresholds)
        check.facts |= parity.as_json() | {"dice": fold.score(engine), "pytorch": fold.reference}
        with recorded_refusal(member, engine_class):
            check_parity(name, parity, engine_class.tolerance)
        check.predict = engine
    except (InputError, RuntimeError, ImportError) as error:  # CUDA and TensorRT raise RuntimeErrors of many kinds
        check.failure = first_line(error)
    return check


def check_average(engine_class: type[Engine], engines: Sequence[Engine], strips: np.ndarray) -> EngineCheck:
    """All networks of one engine, averaged where they compute if they can, and whether that is the host's mean."""
    check = EngineCheck(f"all {len(engines)}", engine_class.name)
    weights = list(range(1, len(engines) + 1))

    def host_average(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps, class_probabilities = zip(*(engine(batch) for engine in engines), strict=True)
        return mean_map(maps, weights), mean_map(class_probabilities, weights)

    check.predict = host_average
    if engine_class.averages_on_device:
        device_average = check.predict = engine_class.average(engines, weights)
        batches = [strips[:count] for count in AVERAGED_COUNTS]
        if not all(_are_equal(device_average, host_average, batch) for batch in batches):
            check.failure = "the mean made on the GPU differs from the one made on the host"
    return check


def _are_equal(first: Predict, second: Predict, strips: np.ndarray) -> bool:
    return all(np.array_equal(*pair) for pair in zip(first(strips), second(strips), strict=True))
