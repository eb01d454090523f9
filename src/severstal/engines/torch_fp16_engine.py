"""PyTorch on an NVIDIA GPU without TensorRT: float16, channels last, full batches as one CUDA graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from severstal.errors import InputError
from severstal.graph import load_whole_model
from severstal.member import Member

if TYPE_CHECKING:
    from severstal.accuracy import FoldDice

BATCH = 8  # strips of a full batch
WARM_UP = 3  # runs before a graph may be captured: cuDNN chooses its kernels in them


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Nothing to make: the weights are the engine."""


def load(member: Member) -> TorchHalfEngine:
    return TorchHalfEngine(member)


class TorchHalfEngine:
    """A network under float16 autocast; the graph's input and outputs stay ``uint8``."""

    def __init__(self, member: Member) -> None:
        if not torch.cuda.is_available():
            raise InputError(f"{member.name}: engine torch-fp16 needs an NVIDIA GPU, and PyTorch finds none")
        config = member.config()
        self._model = load_whole_model(member, torch.device("cuda"))
        self._given = torch.zeros((BATCH, 1, config.height, config.width), dtype=torch.uint8, device="cuda")
        self._graph = torch.cuda.CUDAGraph()
        self._made = self._capture()

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [self._part(strips[start : start + BATCH]) for start in range(0, len(strips), BATCH)]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _part(self, strips: np.ndarray) -> tuple[np.ndarray, ...]:
        """A last, smaller batch goes through the graph too: the rows beyond it are not looked at."""
        self._given[: len(strips)].copy_(torch.from_numpy(np.ascontiguousarray(strips))[:, None])
        self._graph.replay()
        return tuple(output[: len(strips)].cpu().numpy() for output in self._made)

    @torch.inference_mode()
    def _capture(self) -> tuple[torch.Tensor, ...]:
        # Autocast's cache of weights may not outlive a capture.
        half = torch.autocast("cuda", torch.float16, cache_enabled=False)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), half:
            for _ in range(WARM_UP):
                self._model(self._given)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(self._graph), half:
            return self._model(self._given)
