"""TensorRT on an NVIDIA GPU: built from ``model.onnx`` for the machine at hand, and for no other.

Float16 unless asked for otherwise (``SEVERSTAL_TENSORRT_PRECISION``: fp16, fp32, int8). An engine that loses Dice
in lower precision is built again in float32, with a line saying so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from severstal import engines
from severstal.artifacts import replacing, write_json
from severstal.engines.tensorrt import sidecar
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.engines.tensorrt.precision import to_float16, to_int8
from severstal.engines.tensorrt.running import GpuEnsemble, Session, buffers
from severstal.errors import InputError
from severstal.gpu import gpu_count
from severstal.member import Member

if TYPE_CHECKING:
    from severstal.accuracy import FoldDice

NAME = "tensorrt"
PROFILE = Profile()
BATCH = PROFILE.usual


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Build the member's engine, unless the one on disk was built from this file for this machine."""
    from severstal.accuracy import LARGEST_DROP

    precision = engines.precision(NAME)
    _build(member, precision, fold)
    if fold is None or precision == "fp32" or not gpu_count():
        return
    drop = fold.reference - fold.of(load(member))
    if drop > LARGEST_DROP:
        print(f"   {member.name}: {precision} costs {drop:.4f} of Dice; its layers stay in float32", flush=True)
        _build(member, "fp32", fold)


def _build(member: Member, precision: str, fold: FoldDice | None) -> None:
    trt, files = library(), member.files
    wanted = sidecar.made_from(trt, member, precision, PROFILE)
    if files.engine(NAME).exists() and not sidecar.difference(sidecar.read(member, NAME), wanted):
        return
    model = onnx.load(files.onnx)
    if precision == "fp16":
        model = to_float16(model)
    elif precision == "int8":
        if fold is None:
            raise InputError(f"{member.name}: int8 is calibrated on strips: run `bash bin/export.sh {member.encoder}`")
        model = to_int8(model, fold.calibration())
    plan = build_plan(trt, model.SerializeToString(), PROFILE, member.paths.timing_cache, member.name)
    with replacing(files.engine(NAME)) as temporary:
        temporary.write_bytes(plan)
    write_json(files.sidecar(f"{NAME}-build"), wanted)


def prepare(member: Member) -> None:
    """Rebuild an engine of another machine, library, driver or graph, with one line of notice."""
    found = sidecar.read(member, NAME)
    precision = found["precision"] if found and found.get("precision") in ("fp16", "fp32") else "fp16"
    if found and found.get("precision") == "int8":
        precision = "int8"
    differs = sidecar.difference(found, sidecar.made_from(library(), member, precision, PROFILE))
    if not differs and member.files.engine(NAME).exists():
        return
    if precision == "int8":
        precision = "fp16"  # ranges are measured by export.sh, which has the training strips
    print(f"   {member.name}: building the engine for this machine in {precision} ({differs})", flush=True)
    _build(member, precision, None)


def load(member: Member) -> TensorRTEngine:
    return TensorRTEngine(ensemble([member], [1]))


def ensemble(members: list[Member], weights: list[int]) -> GpuEnsemble:
    """All members on the GPU, their maps averaged there."""
    memory = _memory(members[0])
    for member in members:
        prepare(member)
    trt = library()
    sessions = [Session(trt, member.files.engine(NAME), memory.handle) for member in members]
    return GpuEnsemble(sessions, weights, PROFILE.largest, memory)


def _memory(member: Member) -> object:
    if not gpu_count():
        path = member.files.engine(NAME)
        raise InputError(f"{path} needs an NVIDIA GPU, and the driver reports none: use --engine openvino")
    return buffers()


class TensorRTEngine:
    """One member with the interface of every engine."""

    def __init__(self, alone: GpuEnsemble) -> None:
        self._alone = alone

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for start in range(0, len(strips), PROFILE.largest):
            part = strips[start : start + PROFILE.largest]
            parts.append((self._alone(part), self._alone.presence(len(part))))
        maps, presences = zip(*parts, strict=True)
        return np.concatenate(maps), np.concatenate(presences)
