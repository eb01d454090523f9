"""A member's TensorRT files: the graph in the engine's precision, the engine, and the sidecar of both.

``model.tensorrt.onnx`` is what the engine is built from. It is kept so that another machine rebuilds the engine without
PyTorch, without the strips that int8 was calibrated on, and with the same layers in float32.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError

from severstal.artifacts import Artifact, file_hash, replacing
from severstal.engines import float32_layers
from severstal.engines.tensorrt import sidecar
from severstal.engines.tensorrt.buffers import Buffers
from severstal.engines.tensorrt.build_process import build_file
from severstal.engines.tensorrt.builder import Profile
from severstal.engines.tensorrt.library import library
from severstal.engines.tensorrt.precision_conversion import convert_precision
from severstal.engines.tensorrt.runtime import LoadedEngine, Runner
from severstal.engines.tensorrt.shared_buffers import shared_buffers
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.hardware import gpu_count

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldScorer

PROFILE = Profile()
FLOAT32_LAYERS = "kept_in_float32"  # key in the converted graph's metadata

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineFile:
    """The files of one member in one precision.

    Attributes:
        name: of the engine, as in file names.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """

    member: Member
    name: str
    precision: str

    @property
    def converted(self) -> Path:
        return self.member.files.converted_onnx(self.name)

    @property
    def engine(self) -> Path:
        return self.member.files.engine(self.name)

    @property
    def build_record(self) -> Path:
        return self.member.files.build_record(self.name)

    def build(self, fold: FoldScorer | None = None) -> None:
        """Write the converted graph and the engine, unless those on disk are of ``model.onnx`` and this machine.

        On a machine with a GPU a lower precision is scored too, once. Layers that cost too much Dice return to float32,
        and ``model.<engine>-layers.json`` lists them.

        Args:
            fold: scores the engine on its held-out strips; its training strips calibrate int8.

        Raises:
            InputError: if too much Dice is lost even with all layers in float32.
        """
        if self.differences():
            self._rebuild(fold)
        is_reduced = self.precision != "fp32"
        if fold and is_reduced and gpu_count() and float32_layers.read(self.member, self.name) is None:
            self._find_float32_layers(fold)

    def load(self, build_seconds: float | None = None) -> Runner:
        """The engine on the GPU; one of another machine, library or graph is built again, and the log says so.

        Args:
            build_seconds: that building it again may take; None for any time.

        Raises:
            BuildTimeout: if it was not built by then.
            InputError: if there is no GPU, or the rebuilt engine cannot be loaded either.
        """
        buffers = shared_buffers()  # raises where there is no GPU, before TensorRT ends the process
        reasons = self.differences()
        if not reasons:
            try:
                return self._open(buffers)
            except InputError as error:
                reasons = [str(error)]
        logger.info("%s: its %s engine does not fit here (%s)", self.member.name, self.name, "; ".join(reasons))
        self._rebuild(None, build_seconds)
        return self._open(buffers)

    def differences(self) -> list[str]:
        """Why the engine on disk cannot be loaded here; empty where it can."""
        if not self._is_converted():
            return ["it is of another graph"]
        return self.artifact().differences()

    def artifact(self) -> Artifact:
        """The engine; its record says what it was built from and for."""
        weights = self.member.weights_hash()
        identity = sidecar.identity(library(), self.precision, PROFILE, self.converted, weights)
        return Artifact(self.build_record, identity, files=(self.engine,))

    def _open(self, buffers: Buffers) -> Runner:
        return Runner(buffers, [LoadedEngine(library(), self.engine)], [1])

    def _rebuild(self, fold: FoldScorer | None, seconds: float | None = None) -> None:
        if not self._is_converted():
            self._convert(fold, float32_layers.read(self.member, self.name) or [])
        self._build_engine(seconds)

    def _convert(self, fold: FoldScorer | None, layers: list[str]) -> None:
        strips = fold.calibration_strips() if fold and self.precision == "int8" else ()
        model = onnx.load(self.member.files.onnx)
        self._write_converted(convert_precision(model, self.precision, strips, frozenset(layers)), layers)

    def _write_converted(self, model: onnx.ModelProto, layers: list[str]) -> None:
        for key, value in (self._source() | {FLOAT32_LAYERS: json.dumps(layers)}).items():
            model.metadata_props.add(key=key, value=value)
        with replacing(self.converted) as temporary:
            onnx.save(model, temporary)

    def _build_engine(self, time_limit: float | None = None) -> None:
        began = time.monotonic()
        timing_cache = self.member.paths.timing_cache(sidecar.machine_name(library()))
        build_file(self.converted, self.engine, PROFILE, timing_cache, time_limit)
        self.artifact().write_record()
        seconds, megabytes = time.monotonic() - began, self.engine.stat().st_size / 1e6
        logger.info("%s: %s engine built in %.1f s, %.0f MB", self.member.name, self.name, seconds, megabytes)

    def _find_float32_layers(self, fold: FoldScorer) -> None:
        from severstal.engines.dice_check import MAX_DROP
        from severstal.engines.tensorrt import layer_search  # imports ONNX Runtime, which prediction does without

        if self._metadata().get(FLOAT32_LAYERS) != "[]":  # left by a search that was interrupted
            self._convert(fold, [])
            self._build_engine()
        drop = fold.reference - fold.score(self._open(shared_buffers()))
        layers: list[str] = []
        if drop > MAX_DROP:
            loss = f"{self.precision} costs {drop:.4f} of Dice"
            logger.info("%s: %s; searching for the layers that cause it", self.member.name, loss)
            model = onnx.load(self.member.files.onnx)
            layers = layer_search.search(model, self.precision, fold, self._build_with, MAX_DROP)
        float32_layers.write(self.member, self.name, self.precision, drop, layers)

    def _build_with(self, model: onnx.ModelProto, layers: list[str]) -> Runner:
        self._write_converted(model, layers)
        self._build_engine()
        return self._open(shared_buffers())

    def _is_converted(self) -> bool:
        return self._metadata().items() >= self._source().items()

    def _metadata(self) -> dict[str, str]:
        try:
            return {entry.key: entry.value for entry in onnx.load(self.converted).metadata_props}
        except (OSError, DecodeError):  # missing or truncated
            return {}

    def _source(self) -> dict[str, str]:
        return {"precision": self.precision, "converted_from": file_hash(self.member.files.onnx)}
