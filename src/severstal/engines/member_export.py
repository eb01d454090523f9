"""The export of one member: ``model.onnx``, the engine's own file, and the checks of both against PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from severstal.artifacts import Artifact, file_hash
from severstal.data import strips
from severstal.data.training_set import TrainingSet
from severstal.engines import float32_layers, onnx_file
from severstal.engines.base import FLOAT32, Engine
from severstal.engines.dice_check import FoldScorer, check_dice
from severstal.engines.outputs import Predict
from severstal.engines.parity import PARITY_STRIPS, check_parity, compare
from severstal.engines.refusal import recorded_refusal
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.postprocess.rules import Rule

logger = logging.getLogger(__name__)


def artifact(member: Member, engine: str) -> Artifact:
    """``model.onnx`` and the record ``model.<engine>.json`` of its checks."""
    inputs = {"engine": engine} | onnx_file.identity(member)
    return Artifact(member.files.sidecar(engine), inputs, files=(member.files.onnx,))


def export_member(member: Member, engine_class: type[Engine], data: TrainingSet, rules: tuple[Rule, ...]) -> None:
    """Write ``model.onnx`` and the engine's own file, check both, and write the record of the checks.

    Raises:
        EngineRefused: if the graph or the engine differs from PyTorch by more than its tolerance, or loses too much
            Dice. The refused file is not kept.
    """
    from severstal.engines.torch_engine import TorchEngine

    name, subject = engine_class.name, f"{member.name}: engine {engine_class.name}"
    sample, thresholds = parity_sample(member, data), [rule.decision_level for rule in rules]
    reference = TorchEngine.load(member)
    export_onnx(member, reference, sample, thresholds)
    fold = FoldScorer(member, data, rules) if engine_class.is_reduced() else None
    engine_class.build(member, fold)
    engine = engine_class.load(member)
    with recorded_refusal(member, engine_class):
        parity = compare(reference, engine, sample, thresholds)
        check_parity(subject, parity, engine_class.tolerance)
        logger.info("%s: %s %s", member.name, name, parity)
        facts: dict[str, Any] = {
            "engine": name,
            "onnx": file_hash(member.files.onnx),
            "thresholds": thresholds,
            "parity": parity.as_json(),
        }
        if fold is not None:
            facts["dice"] = check_dice(subject, fold, engine)
            _log_dice(member, name, facts["dice"])
    artifact(member, name).write_record(facts)


def export_onnx(member: Member, reference: Predict, sample: np.ndarray, thresholds: Sequence[int]) -> None:
    """Write ``model.onnx`` where there is none of the member's weights; all engines that read it share the file.

    Args:
        reference: the network in PyTorch, which the file is compared with before it gets its name.
        sample: strips ``uint8 [N, H, W]`` to compare them on.
        thresholds: one per class, 0 to 255.

    Raises:
        EngineRefused: if the graph differs from PyTorch by more than float32's tolerance.
    """
    from severstal.engines.onnx_export import write_onnx
    from severstal.engines.onnxruntime_engine import OnnxRuntimeEngine

    try:
        onnx_file.check_identity(member)
        return
    except InputError:
        pass

    def check(path: Path) -> None:
        parity = compare(reference, OnnxRuntimeEngine(path), sample, thresholds)
        check_parity(f"{member.name}: the ONNX file, which is not kept,", parity, FLOAT32)
        logger.info("%s: ONNX %s", member.name, parity)

    nodes, simplified_nodes = write_onnx(member, check)
    logger.info("%s: %d nodes, simplified to %d", member.name, nodes, simplified_nodes)


def parity_sample(member: Member, data: TrainingSet) -> np.ndarray:
    """Some of the fold's validation strips, those with most defect classes first, ``uint8 [n, H, W]``."""
    images = data.images(member.fold, held_out=True)
    images.sort(key=lambda image: -len(data.labels[image]))
    return np.stack([strips.read(data.paths.train_images / image) for image in images[:PARITY_STRIPS]])


def _log_dice(member: Member, engine: str, dice: dict[str, float]) -> None:
    scores = f"Dice {dice['engine']:.5f}, PyTorch's {dice['pytorch']:.5f}, over {dice['strips']} held-out strips"
    logger.info("%s: %s %s", member.name, engine, scores)
    layers = float32_layers.read(member, engine)
    if layers is not None:
        logger.info("%s: %s, %s", member.name, engine, float32_layers.describe(layers))
