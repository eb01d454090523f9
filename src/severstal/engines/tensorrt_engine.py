"""TensorRT on an NVIDIA GPU: the one file that imports it.

One path for TensorRT 10.13 to 11 (``tensorrt``) and TensorRT-RTX (``tensorrt_rtx``, GeForce and RTX cards):
a strongly typed network, whose precision is that of the ONNX file; one optimisation profile; a timing cache
that later folds reuse. An engine only fits the library and the GPU that it was built with, so a sidecar says
which, and another machine's engine is rebuilt instead of being loaded into a crash.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from severstal.artifacts import file_hash, read_json, replacing, write_json
from severstal.errors import InputError
from severstal.gpu import gpus
from severstal.graph import INPUT, OUTPUTS
from severstal.member import Member

if TYPE_CHECKING:
    from severstal.accuracy import FoldDice

NAME = "tensorrt"
BATCH = 8  # most strips per call, and what tactics are chosen for
WORKSPACE = 4 << 30  # bytes


def library() -> ModuleType:
    """``tensorrt``, or ``tensorrt_rtx``, whose interface is the same."""
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise InputError(
        "neither tensorrt nor tensorrt_rtx is installed: run `.venv/bin/pip install -r requirements-gpu.txt`"
    )


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Build the member's engine, unless the one on disk was built from this file on this machine."""
    trt, files = library(), member.files
    made_from = _made_from(trt, files.onnx)
    if files.engine(NAME).exists() and _sidecar(files.sidecar(f"{NAME}-build")) == made_from:
        return
    half = to_float16(onnx.load(files.onnx))
    plan = build_plan(trt, half.SerializeToString(), member.paths.timing_cache)
    with replacing(files.engine(NAME)) as temporary:
        temporary.write_bytes(plan)
    write_json(files.sidecar(f"{NAME}-build"), made_from)


def load(member: Member) -> TensorRTEngine:
    """The member's engine; one of another machine or library is rebuilt, with a line of notice."""
    trt, files = library(), member.files
    if _sidecar(files.sidecar(f"{NAME}-build")) != _made_from(trt, files.onnx):
        print(
            f"   {member.name}: the engine is of another machine or version; building it for this one",
            flush=True,
        )
        build(member)
    return TensorRTEngine(trt, files.engine(NAME))


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in float16, its ``uint8`` input and outputs untouched.

    Converting the file strays less from float32 than exporting a halved network (0.011 against 0.035 of a logit).
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=True)


def build_plan(trt: ModuleType, model: bytes, timing_cache: Path | None = None) -> bytes:
    """Serialized engine of an ONNX model; TensorRT-RTX builds without a GPU too.

    Raises:
        InputError: with every error of the parser, or TensorRT's own last words.
    """
    log = _logger(trt)
    builder = trt.Builder(log)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, log)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise InputError(f"TensorRT's parser refused the ONNX model: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.add_optimization_profile(_profile(builder, definition.get_input(0)))
    cache = _read_cache(config, timing_cache)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise InputError(f"TensorRT built no engine: {log.last_error or 'it gave no reason'}")
    if timing_cache and cache is not None:
        with replacing(timing_cache) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _profile(builder: Any, strips: Any) -> Any:
    _, channels, height, width = strips.shape
    profile = builder.create_optimization_profile()
    sizes = [(batch, channels, height, width) for batch in (1, BATCH, BATCH)]
    profile.set_shape(strips.name, *sizes)
    return profile


def _read_cache(config: Any, path: Path | None) -> Any:
    if path is None or not hasattr(config, "create_timing_cache"):
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    config.set_timing_cache(cache, ignore_mismatch=True)
    return cache


def _logger(trt: ModuleType) -> Any:
    class Log(trt.ILogger):
        """Prints warnings' betters only, and keeps the last error for the exception."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.last_error = message

    return Log()


def _made_from(trt: ModuleType, onnx_file: Path) -> dict[str, Any]:
    """What an engine depends on; equal where it can be loaded."""
    return {
        "library": trt.__name__,
        "version": trt.__version__,
        "gpu": gpus()[0] if gpus() else None,
        "precision": "fp16",
        "batch": BATCH,
        "onnx": file_hash(onnx_file),
    }


def _sidecar(path: Path) -> dict[str, Any] | None:
    return read_json(path, "bash bin/export.sh") if path.exists() else None


class TensorRTEngine:
    """An engine on the GPU, its buffers held by torch; larger batches than it was built for go in parts."""

    def __init__(self, trt: ModuleType, path: Path) -> None:
        import torch

        if not torch.cuda.is_available():
            # Where there is no GPU, TensorRT's Runtime ends the process instead of raising.
            raise InputError(f"{path} needs an NVIDIA GPU, and PyTorch finds none: use --engine openvino")
        self._torch, self._runtime = torch, trt.Runtime(_logger(trt))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise InputError(f"{path} cannot be loaded on this GPU: delete it and run `bash bin/export.sh`")
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [self._run(strips[start : start + BATCH]) for start in range(0, len(strips), BATCH)]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _run(self, strips: np.ndarray) -> tuple[np.ndarray, ...]:
        torch = self._torch
        with torch.cuda.stream(self._stream):
            given = torch.from_numpy(np.ascontiguousarray(strips[:, None])).cuda(non_blocking=True)
            self._context.set_input_shape(INPUT, tuple(given.shape))
            self._context.set_tensor_address(INPUT, given.data_ptr())
            outputs = []
            for name in OUTPUTS:
                shape = tuple(self._context.get_tensor_shape(name))
                outputs.append(torch.empty(shape, dtype=torch.uint8, device="cuda"))
                self._context.set_tensor_address(name, outputs[-1].data_ptr())
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError("TensorRT refused to run the engine; its log has the reason")
            copies = [output.cpu().numpy() for output in outputs]
        self._stream.synchronize()
        return tuple(copies)
