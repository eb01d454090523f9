"""The graph in a lower precision: since TensorRT 11 an engine's precision is that of its ONNX file.

Input and outputs stay ``uint8``, so strips and maps are the same bytes in every precision.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

from severstal.engines.onnx_file import INPUT
from severstal.engines.tensorrt.layers import WEIGHTED, join_casts, nodes_of
from severstal.errors import InputError

NO_LAYERS: Set[str] = frozenset()


def convert_precision(
    model: onnx.ModelProto,
    precision: str,
    strips: Sequence[np.ndarray] = (),
    keep: Set[str] = NO_LAYERS,
    ranges: Path | None = None,
) -> onnx.ModelProto:
    """The same graph in ``fp32``, ``fp16``, or ``int8`` with the rest in float16.

    The int8 file is for TensorRT. ONNX Runtime folds pairs of its float16 scales into products that underflow (0.8% of
    pixels flip); with its optimisations off it gives the result of the same file with float32 scales.

    Args:
        strips: ``uint8 [H, W]`` each, which int8 ranges are measured on.
        keep: names of :func:`layers.layers` that stay in float32.
        ranges: file of the measured int8 ranges: read where it exists, else written, as measuring takes long.
    """
    if precision == "fp32":
        return model
    nodes = nodes_of(model, keep)
    return to_float16(model if precision == "fp16" else to_int8(model, strips, nodes, ranges), nodes)


def to_float16(model: onnx.ModelProto, keep: Sequence[str] = ()) -> onnx.ModelProto:
    """The graph in float16, except for the nodes of these names.

    Converting the file differs less from float32 than exporting a halved network (0.011 against 0.035 of a logit).
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line for each weight that is below float16's smallest
        return join_casts(convert_float_to_float16(model, keep_io_types=True, node_block_list=keep))


def to_int8(
    model: onnx.ModelProto, strips: Sequence[np.ndarray], keep: Sequence[str] = (), ranges: Path | None = None
) -> onnx.ModelProto:
    """The graph with symmetric quantise/dequantise pairs around its convolutions, the rest in float32.

    Activations per tensor and weights per channel, both signed with zero point 0; biases stay floats. TensorRT's parser
    accepts nothing else; it refuses the int32 biases that ONNX Runtime chooses by default.

    Raises:
        InputError: without strips to measure ranges on.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if not strips:
        raise InputError("int8 needs training strips to measure its ranges on: run bin/export.sh")
    with tempfile.TemporaryDirectory() as folder, _quiet_root_logger():
        source, target = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)  # of a model in memory it would move the weights to a file, and change the caller's
        quantize_static(
            source,
            target,
            _CalibrationReader(strips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(WEIGHTED),  # what gains; additions and resizes between them stay in float16
            nodes_to_exclude=list(keep),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # int32 biases are refused where nodes share one: TensorRT-RTX 1.7
                "DedicatedQDQPair": False,
                "CalibTensorRangeSymmetric": True,
            },
            calibration_cache_path=ranges,
        )
        return onnx.load(target)


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Hide warnings of the root logger, which ONNX Runtime's quantisation uses."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(max(logging.ERROR, level))
    try:
        yield
    finally:
        root.setLevel(level)


class _CalibrationReader:
    """Strips in the form in which ONNX Runtime's calibration asks for them, one at a time."""

    def __init__(self, strips: Sequence[np.ndarray]) -> None:
        self._remaining = iter(strips)

    def get_next(self) -> dict[str, np.ndarray] | None:
        strip = next(self._remaining, None)
        return None if strip is None else {INPUT: strip[None, None]}
