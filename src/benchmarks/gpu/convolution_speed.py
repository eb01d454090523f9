"""Single grouped and depthwise convolutions of the encoders, forward and backward: precision, memory format, search.

Channels-last makes PyTorch leave a depthwise convolution to cuDNN in every precision; channels-first leaves it to
PyTorch's own kernels but for some in float16. Which of them is slow, and how long cuDNN's search takes, shows here
without a network around it. One process measures with the search or without it: PyTorch keeps what it took first.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.steps import progress, seconds_left
from severstal.errors import first_line
from severstal.models.tf32 import without_tf32

RESERVE = 2.0  # seconds before the end of the step's time at which no case is begun
CALLS, CASE_SECONDS = 10, 0.3  # timed calls of a case at most, and seconds for them
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FORMATS = {"channels-last": torch.channels_last, "channels-first": torch.contiguous_format}


@dataclass(frozen=True)
class Layer:
    """A convolution of as many input as output channels; ``side`` is that of its input for crops of 256 pixels."""

    encoder: str
    channels: int
    groups: int
    kernel: int
    stride: int
    side: int

    @property
    def name(self) -> str:
        kind = "depthwise" if self.groups == self.channels else f"{self.groups} groups"
        return f"{self.encoder} {self.kernel}x{self.kernel} {kind} {self.channels} at {self.side}"


LAYERS = (
    Layer("efficientnet-b3", 144, 144, 3, 2, 128),
    Layer("efficientnet-b3", 288, 288, 5, 1, 32),
    Layer("efficientnet-b3", 1392, 1392, 5, 1, 8),
    Layer("convnext_tiny", 96, 96, 7, 1, 64),
    Layer("se_resnext50_32x4d", 256, 32, 3, 1, 32),
)


def main() -> None:
    search, batch, layers = sys.argv[1] == "with-search", int(sys.argv[2]), LAYERS[: int(sys.argv[3])]
    torch.backends.cudnn.benchmark = search
    rows: dict[str, dict[str, Any]] = {layer.name: {} for layer in layers}
    for layer, precision, form in product(layers, PRECISIONS, FORMATS):
        if seconds_left() < RESERVE:
            break
        case = f"{precision} {form}"
        try:
            rows[layer.name][case] = measure(layer, batch, precision, form)
        except RuntimeError as error:  # not every library has every case
            rows[layer.name][case] = {"failure": first_line(error)}
        found = rows[layer.name][case]
        words = found.get("failure") or f"{found['ms']} ms, the first call {found['first']} s"
        progress(f"{layer.name}, {case}: {words}")
        print(json.dumps({"rows": rows, "summary": "; ".join(map(describe, rows.items()))}), flush=True)


def measure(layer: Layer, batch: int, precision: str, form: str) -> dict[str, float]:
    """Seconds of the first call and milliseconds of a later one, forward and backward."""
    is_gpu = torch.cuda.is_available()
    dtype, memory_format = PRECISIONS[precision], FORMATS[form]
    place: Any = {"device": "cuda" if is_gpu else "cpu", "dtype": dtype}
    convolution: Any = nn.Conv2d(
        *(layer.channels, layer.channels, layer.kernel, layer.stride, layer.kernel // 2), groups=layer.groups
    )
    convolution = convolution.to(**place).to(memory_format=memory_format)
    images = torch.randn(batch, layer.channels, layer.side, layer.side, **place)
    images = images.contiguous(memory_format=memory_format).requires_grad_()
    inputs = [images, *convolution.parameters()]

    def seconds() -> float:
        began = time.perf_counter()
        output = convolution(images)
        torch.autograd.grad(output, inputs, torch.ones_like(output))
        if is_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    with without_tf32():
        first, later = seconds(), [seconds()]
        while len(later) < CALLS and sum(later) < CASE_SECONDS:
            later.append(seconds())
    return {"first": round(first, 3), "ms": round(1000 * median(later), 3)}


def describe(item: tuple[str, dict[str, dict[str, Any]]]) -> str:
    """A layer's cases in words: milliseconds of a call, and the longest first call."""
    layer, cases = item
    times = [f"{case} {row['ms']:.2f}" if "ms" in row else f"{case} failed" for case, row in cases.items()]
    longest = max((row.get("first", 0.0) for row in cases.values()), default=0.0)
    return f"{layer}: {', '.join(times)} ms; first call {longest:.2f} s at most"


if __name__ == "__main__":
    main()
