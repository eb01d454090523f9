"""A member's TensorRT files: the graph in the engine's precision, the engine, and the sidecar of both.

``model.tensorrt.onnx`` is what the engine is built from, kept so that another machine rebuilds the engine from it
without PyTorch, without the strips that int8 was measured on, and with the same layers in float32.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError

from severstal.artifacts import file_hash, replacing, write_json
from severstal.engines import float32_layers
from severstal.engines.tensorrt import sidecar
from severstal.engines.tensorrt.buffers import Buffers, buffers
from severstal.engines.tensorrt.build_process import build_file
from severstal.engines.tensorrt.builder import Profile
from severstal.engines.tensorrt.library import library
from severstal.engines.tensorrt.precision_conversion import convert_precision
from severstal.engines.tensorrt.runtime import LoadedEngine, TensorRTEngine
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.hardware import gpu_count

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldDice

PROFILE = Profile()
KEPT = "kept_in_float32"
NAMES = {"fp32": "tensorrt-fp32", "fp16": "tensorrt", "int8": "tensorrt-int8"}


def build(precision: str, member: Member, fold: FoldDice | None = None) -> None:
    """See :meth:`EngineFile.build`."""
    EngineFile(member, precision).build(fold)


def load(precision: str, member: Member) -> TensorRTEngine:
    """See :meth:`EngineFile.load`."""
    return EngineFile(member, precision).load()


@dataclass(frozen=True)
class EngineFile:
    """The files of one member in one precision."""

    member: Member
    precision: str

    @property
    def name(self) -> str:
        return NAMES[self.precision]

    @property
    def converted(self) -> Path:
        return self.member.files.engine(f"{self.name}.onnx")

    @property
    def engine(self) -> Path:
        return self.member.files.engine(self.name)

    @property
    def sidecar(self) -> Path:
        return self.member.files.sidecar(f"{self.name}-build")

    def build(self, fold: FoldDice | None = None) -> None:
        """Make the lowered graph and the engine, unless they are those of ``model.onnx`` on this machine already.

        On a machine with a GPU a lower precision is scored too, once; layers that cost too much Dice are given back to
        float32, and ``model.<engine>-layers.json`` tells which.

        Args:
            fold: whose training strips int8 ranges are measured on, and whose held-out ones are scored.

        Raises:
            InputError: if it costs too much Dice with all layers given back.
        """
        if self.differences():
            self._make(fold)
        if fold and self.precision != "fp32" and gpu_count() and float32_layers.read(self.member, self.name) is None:
            self._score(fold)

    def load(self) -> TensorRTEngine:
        """The engine on the GPU; one of another machine, library or graph is built anew, with a line of notice.

        Raises:
            InputError: if there is no GPU, or the engine that was just built cannot be loaded either.
        """
        shared = buffers()  # raises where there is no GPU, before TensorRT ends the process
        found = self.differences()
        if not found:
            try:
                return self._open(shared)
            except InputError as error:
                found = [str(error)]
        print(f"   {self.member.name}: its {self.name} engine does not fit here ({'; '.join(found)})", flush=True)
        self._make(None)
        return self._open(shared)

    def differences(self) -> list[str]:
        """Why the engine on disk cannot be loaded here; empty where it can."""
        if not self._lowered_is_current():
            return ["it is of another graph"]
        return sidecar.differences(self.sidecar, self.engine, self._facts())

    def _open(self, shared: Buffers) -> TensorRTEngine:
        return TensorRTEngine(shared, LoadedEngine(library(), self.engine))

    def _make(self, fold: FoldDice | None) -> None:
        if not self._lowered_is_current():
            self._lower(fold, float32_layers.read(self.member, self.name) or [])
        self._build()

    def _lower(self, fold: FoldDice | None, kept: list[str]) -> None:
        strips = fold.calibration() if fold and self.precision == "int8" else ()
        self._write(convert_precision(onnx.load(self.member.files.onnx), self.precision, strips, frozenset(kept)), kept)

    def _write(self, model: onnx.ModelProto, kept: list[str]) -> None:
        for key, value in (self._made_from() | {KEPT: json.dumps(kept)}).items():
            model.metadata_props.add(key=key, value=value)
        with replacing(self.converted) as temporary:
            onnx.save(model, temporary)

    def _build(self) -> None:
        began = time.monotonic()
        build_file(self.converted, self.engine, PROFILE, self.member.paths.timing_cache)
        write_json(self.sidecar, self._facts() | {"engine": file_hash(self.engine)})
        taken, size = time.monotonic() - began, self.engine.stat().st_size / 1e6
        print(f"   {self.member.name}: {self.name} engine built in {taken:.1f} s, {size:.0f} MB", flush=True)

    def _score(self, fold: FoldDice) -> None:
        from severstal.engines.dice_check import LARGEST_DROP
        from severstal.engines.tensorrt import float32_fallback  # brings ONNX Runtime, which prediction does without

        if self._metadata().get(KEPT) != "[]":  # of a search that did not end
            self._lower(fold, [])
            self._build()
        drop, kept = fold.reference - fold.of(self._open(buffers())), []
        if drop > LARGEST_DROP:
            cost = f"{self.precision} costs {drop:.4f} of Dice"
            print(f"   {self.member.name}: {cost}; looking for the layers that cause it", flush=True)
            model = onnx.load(self.member.files.onnx)
            kept = float32_fallback.search(model, self.precision, fold, self._with, LARGEST_DROP)
        float32_layers.write(self.member, self.name, self.precision, drop, kept)

    def _with(self, model: onnx.ModelProto, kept: list[str]) -> TensorRTEngine:
        self._write(model, kept)
        self._build()
        return self._open(buffers())

    def _lowered_is_current(self) -> bool:
        return self._metadata().items() >= self._made_from().items()

    def _metadata(self) -> dict[str, str]:
        try:
            return {entry.key: entry.value for entry in onnx.load(self.converted).metadata_props}
        except (OSError, DecodeError):  # not there, or cut short
            return {}

    def _made_from(self) -> dict[str, str]:
        return {"precision": self.precision, "lowered_from": file_hash(self.member.files.onnx)}

    def _facts(self) -> sidecar.Facts:
        return sidecar.facts(library(), self.precision, PROFILE, self.converted, self.member.weights_hash())
