"""PyTorch on the GPU in float16, channels-last, one CUDA graph per number of strips: a GPU without TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models.inference_graph import InferenceGraph, load_inference_graph

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldDice

MOST = 8  # strips per call; a graph and its memory are kept for each number that occurs twice


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Nothing to make: the weights are the engine."""


def load(member: Member) -> TorchHalfEngine:
    if not torch.cuda.is_available():
        raise InputError("engine torch-fp16 needs an NVIDIA GPU, and PyTorch finds none: use --engine openvino")
    return TorchHalfEngine(halved(load_inference_graph(member, torch.device("cuda"))))


class Halved(nn.Module):
    """A network in float16 between a normalisation and a sigmoid that stay in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.half().contiguous(memory_format=torch.channels_last))


def halved(model: InferenceGraph) -> InferenceGraph:
    """The same graph, its network in float16."""
    model.network = Halved(model.network)
    return model.eval()


class TorchHalfEngine:
    """The first call with a number of strips runs plainly, the second records a CUDA graph, later ones replay it."""

    def __init__(self, model: InferenceGraph) -> None:
        self._model = model
        self._seen: set[int] = set()
        self._recorded: dict[int, Callable[[torch.Tensor], tuple[torch.Tensor, ...]]] = {}

    @torch.inference_mode()
    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [self._run(strips[start : start + MOST]) for start in range(0, len(strips), MOST)]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _run(self, strips: np.ndarray) -> tuple[np.ndarray, ...]:
        count, given = len(strips), torch.from_numpy(strips)[:, None].pin_memory()
        if count in self._seen and count not in self._recorded:
            self._recorded[count] = self._record(given)
        self._seen.add(count)
        outputs = self._recorded.get(count, self._plain)(given)
        return tuple(output.cpu().numpy() for output in outputs)

    def _plain(self, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self._model(given.cuda(non_blocking=True))

    def _record(self, given: torch.Tensor) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
        graph, held = torch.cuda.CUDAGraph(), given.cuda()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._model(held)

        def replay(new: torch.Tensor) -> tuple[torch.Tensor, ...]:
            held.copy_(new, non_blocking=True)
            graph.replay()
            return outputs

        return replay
