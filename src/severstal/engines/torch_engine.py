"""PyTorch in float32, not TF32: the reference for every other engine; on the GPU where there is one."""

from __future__ import annotations

from typing import Self

import numpy as np

from severstal.engines.base import Engine
from severstal.engines.outputs import Outputs
from severstal.experiment import Member


class TorchEngine(Engine):
    """Eager PyTorch."""

    name = "torch"
    packages = ("torch",)
    device = "any"
    reads_onnx = False

    def __init__(self, member: Member) -> None:
        import torch

        from severstal.models.inference_graph import load_inference_graph

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = load_inference_graph(member, self._device)

    @classmethod
    def load(cls, member: Member) -> Self:
        return cls(member)

    def __call__(self, strips: np.ndarray) -> Outputs:
        import torch

        from severstal.models.tf32 import without_tf32

        with torch.inference_mode(), without_tf32():
            probability, class_probability = self._model(torch.from_numpy(strips)[:, None].to(self._device))
            return probability.cpu().numpy(), class_probability.cpu().numpy()
