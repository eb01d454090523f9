"""Ways to compute one training: precision, cuDNN's search for algorithms, memory format, compiler.

PyTorch keeps the algorithm of a convolution's shape, type and memory format for the whole process, whether it was
searched or not (``benchmark_cache`` in Conv_v8.cpp). Modes that differ in ``search`` alone are therefore measured in
different processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from severstal.models.tf32 import without_tf32


@dataclass(frozen=True)
class Mode:
    """One way.

    Attributes:
        amp: the recipe's value.
        exact: whether float32 is float32, not TF32.
        search: whether cuDNN measures algorithms at the first call of each shape (``cudnn.benchmark``); else it takes
            the one that its heuristics name.
        channels_last: the memory format, as training has it; with it PyTorch leaves depthwise convolutions to cuDNN in
            every precision, without it only some of those in float16 (``use_cudnn_depthwise`` in Convolution.cpp).
        compiled: whether ``torch.compile`` is on.
    """

    amp: str
    exact: bool = False
    search: bool = True
    channels_last: bool = True
    compiled: bool = False

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Context with the process's settings of this mode."""
        cudnn = torch.backends.cudnn
        before = cudnn.benchmark
        cudnn.benchmark = self.search
        try:
            with without_tf32() if self.exact else nullcontext():
                yield
        finally:
            cudnn.benchmark = before


MODES = {
    "float16": Mode("fp16"),
    "bfloat16": Mode("bf16"),
    "TF32": Mode("off"),
    "float32": Mode("off", exact=True),
    "float32-no-search": Mode("off", exact=True, search=False),
    "float32-channels-first": Mode("off", exact=True, channels_last=False),
    "float32-channels-first-no-search": Mode("off", exact=True, search=False, channels_last=False),
    "float16-no-search": Mode("fp16", search=False),
    "float16-compiled": Mode("fp16", compiled=True),
}
