"""Inference graphs in float16, run by PyTorch through CUDA graphs: one launch per call instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from severstal.engines.batch_norm import fold_batch_norms, keep_in_float32
from severstal.engines.outputs import Outputs, Predict
from severstal.models.inference_graph import InferenceGraph
from severstal.models.unet import input_stride

MAX_BATCH = 8  # strips per call; a CUDA graph is kept for each number of strips that occurs twice

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


class Float16Network(nn.Module):
    """Runs a network in float16 and channels-last on ``float32 [N, 1, h, w]``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()
        keep_in_float32(self.network)

    def forward(self, x: torch.Tensor) -> Any:
        """The network's output: its mask logits, with those of its classifier beside them where it has one."""
        return self.network(x.half().contiguous(memory_format=torch.channels_last))


def to_float16(model: InferenceGraph) -> InferenceGraph:
    """The same model with its network converted to float16, in place."""
    network, side = model.network, 2 * input_stride(model.network)
    fold_batch_norms(network, torch.zeros(1, 1, side, side, device=next(network.parameters()).device))
    model.network = Float16Network(network)
    return model.eval()


class CudaGraphs:
    """Runs a model on its GPU.

    The first call with a number of strips runs eagerly, the second records a CUDA graph, and later ones replay it. A
    number that occurs once, such as the remainder at the end, is never recorded.

    Attributes:
        device: the model's.
    """

    def __init__(self, model: InferenceGraph) -> None:
        self.device = next(model.parameters()).device
        self._model = model
        self._called: set[int] = set()
        self._recorded: dict[int, Forward] = {}

    def __call__(self, strips: np.ndarray) -> Outputs:
        return _run_in_parts(self.run, strips, self.device)

    def run(self, strips: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The model's outputs for ``uint8 [N, 1, H, W]`` on its device; the next call of any model overwrites them."""
        count = len(strips)
        if count in self._called and count not in self._recorded:
            self._recorded[count] = self._record(strips)
        self._called.add(count)
        return self._recorded.get(count, self._model)(strips)

    def _record(self, strips: torch.Tensor) -> Forward:
        graph, inputs, stream = torch.cuda.CUDAGraph(), strips.clone(), _recording_stream()
        # cuDNN and cuBLAS create handles and workspaces for each thread and stream, which a recording must not.
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._model(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        # Other threads decode strips and may allocate pinned memory meanwhile, which would end a global capture.
        with torch.cuda.graph(graph, pool=_memory_pool(), stream=stream, capture_error_mode="thread_local"):
            outputs: tuple[torch.Tensor, ...] = self._model(inputs)

        def replay(new: torch.Tensor) -> tuple[torch.Tensor, ...]:
            inputs.copy_(new)
            graph.replay()
            return outputs

        return replay


def average(members: Sequence[CudaGraphs], weights: Sequence[int]) -> Predict:
    """Weighted means of the members' outputs, made where they run; each batch is copied once each way.

    They equal ``ensemble_mean.mean_map`` of the outputs to the bit. Members of weight 0 do not run.
    """
    weighted = [(member, weight) for member, weight in zip(members, weights, strict=True) if weight]
    divisor = sum(weight for _, weight in weighted)

    def run(strips: torch.Tensor) -> tuple[torch.Tensor, ...]:
        totals: list[torch.Tensor] = []
        for member, weight in weighted:
            outputs = member.run(strips)
            if not totals:  # half of the divisor rounds half up
                totals = [torch.full_like(output, divisor // 2, dtype=torch.int32) for output in outputs]
            for total, output in zip(totals, outputs, strict=True):
                total.add_(output, alpha=weight)
        return tuple((total // divisor).to(torch.uint8) for total in totals)

    return lambda strips: _run_in_parts(run, strips, weighted[0][0].device)


@torch.inference_mode()
def _run_in_parts(run: Forward, strips: np.ndarray, device: torch.device) -> Outputs:
    """Run on strips ``uint8 [N, H, W]`` in host memory, ``MAX_BATCH`` at a time."""
    parts = []
    for start in range(0, len(strips), MAX_BATCH):
        part = torch.from_numpy(strips[start : start + MAX_BATCH])[:, None]
        if device.type == "cuda":
            part = part.pin_memory().to(device, non_blocking=True)
        parts.append([output.cpu().numpy() for output in run(part)])
    probability, class_probability = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
    return probability, class_probability


@cache
def _memory_pool() -> Any:
    """One pool for all graphs of all models: they run one after another, and each result is read before the next."""
    return torch.cuda.graph_pool_handle()


@cache
def _recording_stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()
