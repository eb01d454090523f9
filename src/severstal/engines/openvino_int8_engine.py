"""OpenVINO on the CPU in int8: quantised by NNCF on training strips of the same fold, kept only if the Dice stays.

Where the whole network in int8 costs more than the accepted drop, NNCF finds the layers that cause it and keeps
them in float32; they are listed in ``model.openvino-int8-layers.json``.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterable
from typing import Any

import numpy as np
import openvino

from severstal.data.training_set import TrainingSet
from severstal.engines import float32_layers
from severstal.engines.dice_check import LARGEST_DROP, FoldDice
from severstal.engines.onnx_file import INPUT
from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.postprocess.tuned_values import Rule

NAME = "openvino-int8"


def build(member: Member, fold: FoldDice, limit: float = LARGEST_DROP) -> None:
    """Quantise ``model.onnx``; writes ``model.openvino-int8.xml`` and ``.bin``.

    Args:
        limit: the drop of Dice from which on layers are given back to float32.

    Raises:
        InputError: if NNCF's process dies.
    """
    # In a process of its own: NNCF's search leaves a gigabyte behind, and was seen to end its process with a
    # segmentation fault after its work was done.
    child = multiprocessing.get_context("spawn").Process(target=_build, args=(fold.parts(), limit))
    member.files.sidecar(f"{NAME}-layers").unlink(missing_ok=True)
    child.start()
    child.join()
    if not member.files.sidecar(f"{NAME}-layers").exists():
        raise InputError(
            f"{member.name}: quantising ended with exit code {child.exitcode}; the reason, if known, stands above. "
            "Run it again, or choose --engine openvino"
        )


def _build(parts: tuple[Member, TrainingSet, tuple[Rule, ...]], limit: float) -> None:
    import nncf

    fold = FoldDice(*parts)
    member = fold.member
    nncf.set_log_level(logging.ERROR)
    original = openvino.Core().read_model(member.files.onnx)
    calibration = nncf.Dataset(fold.calibration(), lambda strip: {INPUT: strip[None, None]})
    quantised = nncf.quantize(original, calibration, subset_size=len(fold.calibration()))
    drop = fold.reference - fold.of(OpenVinoEngine.of(quantised))
    kept: list[str] = []
    if drop > limit:
        print(f"   {member.name}: int8 costs {drop:.4f} of Dice; looking for the layers that cause it", flush=True)
        quantised = _with_accuracy_control(nncf, original, calibration, fold, limit)
        kept = _float_layers(quantised)
    _save(member, quantised)
    float32_layers.write(member, NAME, "int8", drop, kept)


def load(member: Member) -> OpenVinoEngine:
    return OpenVinoEngine.read(member.files.engine(f"{NAME}.xml"))


def _with_accuracy_control(
    nncf: Any, original: openvino.Model, calibration: Any, fold: FoldDice, limit: float
) -> openvino.Model:
    def dices(model: openvino.CompiledModel, images: Iterable[str]) -> tuple[float, list[float]]:
        engine = OpenVinoEngine(model)
        scores = [fold.of_strip(engine, image) for image in images]
        return float(np.mean(scores)), scores

    return nncf.quantize_with_accuracy_control(
        original,
        calibration_dataset=calibration,
        validation_dataset=nncf.Dataset(fold.images),
        validation_fn=dices,
        max_drop=limit,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=len(fold.calibration()),
    )


def _float_layers(model: openvino.Model) -> list[str]:
    """Convolutions whose input is not quantised."""
    names = []
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            source = node.input_value(0).get_node()
            if source.get_type_name() != "FakeQuantize":
                names.append(node.get_friendly_name())
    return names


def _save(member: Member, model: openvino.Model) -> None:
    """Write both files under a temporary name; the sidecar, which is written last, tells whether they are whole."""
    wanted = member.files.engine(f"{NAME}.xml")
    temporary = wanted.with_name(f".{wanted.name}")
    openvino.save_model(model, temporary, compress_to_fp16=False)
    temporary.with_suffix(".bin").replace(wanted.with_suffix(".bin"))
    temporary.replace(wanted)
