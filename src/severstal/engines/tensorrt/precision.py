"""A graph's precision, which for TensorRT lives in the ONNX file: float16 by conversion, int8 as symmetric Q/DQ.

The ``uint8`` input and outputs stay as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx

from severstal.graph import INPUT


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in float16.

    Converting the file strays less from float32 than exporting a halved network (0.011 against 0.035 of a logit).
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=True)


def to_int8(model: onnx.ModelProto, calibration: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Convolutions in int8, the rest in float16.

    Signed and symmetric throughout, and biases left alone: TensorRT refuses int32 biases and zero points.

    Args:
        calibration: strips ``uint8 [H, W]`` whose activations give the ranges.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._strips = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            strip = next(self._strips, None)
            return None if strip is None else {INPUT: strip[None, None]}

    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.onnx", Path(folder) / "made.onnx"
        onnx.save(model, given)
        quantize_static(
            given,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        return to_float16(onnx.load(made))
