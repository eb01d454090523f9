"""An inference graph in float16, run by PyTorch through CUDA graphs: one launch per call instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from severstal.engines.outputs import Outputs
from severstal.models.inference_graph import InferenceGraph

MAX_BATCH = 8  # strips per call; a CUDA graph and its memory are kept for each number of strips that occurs twice

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


class Float16Network(nn.Module):
    """Runs a network in float16 and channels-last on ``float32 [N, 1, h, w]``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(x.half().contiguous(memory_format=torch.channels_last))
        return logits


def to_float16(model: InferenceGraph) -> InferenceGraph:
    """The same model with its network converted to float16, in place."""
    model.network = Float16Network(model.network)
    return model.eval()


class CudaGraphs:
    """Runs a model on the GPU.

    The first call with a number of strips runs eagerly, the second records a CUDA graph, and later ones replay it. A
    number that occurs once, such as the remainder at the end, is never recorded.
    """

    def __init__(self, model: InferenceGraph) -> None:
        self._model = model
        self._called: set[int] = set()
        self._recorded: dict[int, Forward] = {}

    @torch.inference_mode()
    def __call__(self, strips: np.ndarray) -> Outputs:
        parts = [self._run(strips[start : start + MAX_BATCH]) for start in range(0, len(strips), MAX_BATCH)]
        probability, class_probability = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return probability, class_probability

    def _run(self, strips: np.ndarray) -> tuple[np.ndarray, ...]:
        count, pinned = len(strips), torch.from_numpy(strips)[:, None].pin_memory()
        if count in self._called and count not in self._recorded:
            self._recorded[count] = self._record(pinned)
        self._called.add(count)
        outputs = self._recorded.get(count, self._run_eagerly)(pinned)
        return tuple(output.cpu().numpy() for output in outputs)

    def _run_eagerly(self, pinned: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: tuple[torch.Tensor, ...] = self._model(pinned.cuda(non_blocking=True))
        return outputs

    def _record(self, pinned: torch.Tensor) -> Forward:
        graph, inputs = torch.cuda.CUDAGraph(), pinned.cuda()
        # Other threads decode strips and may allocate pinned memory meanwhile, which would end a global capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._model(inputs)

        def replay(new: torch.Tensor) -> tuple[torch.Tensor, ...]:
            inputs.copy_(new, non_blocking=True)
            graph.replay()
            return outputs

        return replay
