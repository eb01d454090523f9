"""PyTorch in float16 on a GPU without TensorRT: channels-last, one CUDA graph per number of strips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from severstal.engines.base import FLOAT16, Engine
from severstal.engines.outputs import Outputs, Predict
from severstal.errors import InputError
from severstal.experiment import Member

if TYPE_CHECKING:
    from severstal.engines.cuda_graphs import CudaGraphs


class TorchFloat16Engine(Engine):
    """A network in float16 between a normalisation and a sigmoid in float32."""

    name = "torch-fp16"
    packages = ("torch",)
    device = "gpu"
    precision = "fp16"
    tolerance = FLOAT16
    averages_on_device = True
    reads_onnx = False

    def __init__(self, graphs: CudaGraphs) -> None:
        self._graphs = graphs

    @classmethod
    def load(cls, member: Member) -> Self:
        import torch

        from severstal.engines.cuda_graphs import CudaGraphs, to_float16
        from severstal.models.inference_graph import load_inference_graph

        if not torch.cuda.is_available():
            raise InputError("engine torch-fp16 needs an NVIDIA GPU, and PyTorch finds none: use --engine openvino")
        return cls(CudaGraphs(to_float16(load_inference_graph(member, torch.device("cuda")))))

    def __call__(self, strips: np.ndarray) -> Outputs:
        return self._graphs(strips)

    @classmethod
    def average(cls, engines: Sequence[TorchFloat16Engine], weights: Sequence[int]) -> Predict:
        from severstal.engines.cuda_graphs import average

        return average([engine._graphs for engine in engines], weights)
