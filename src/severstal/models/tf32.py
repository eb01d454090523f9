"""Convolutions and matrix products in float32 on NVIDIA GPUs.

From Ampere on cuDNN's default is TF32: factors with 10 bits of mantissa, as in float16, instead of 23. PyTorch 2.9
brought ``fp32_precision`` for it; earlier releases, which Kaggle may have, know ``allow_tf32`` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """Context in which float32 means float32; it has no effect on a CPU. The settings are those of all threads."""
    cudnn: Any = torch.backends.cudnn
    has_fp32_precision = hasattr(cudnn, "conv")
    modules: list[Any] = [cudnn.conv if has_fp32_precision else cudnn, torch.backends.cuda.matmul]
    attribute, exact = ("fp32_precision", "ieee") if has_fp32_precision else ("allow_tf32", False)
    before = [getattr(module, attribute) for module in modules]
    try:
        for module in modules:
            setattr(module, attribute, exact)
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            setattr(module, attribute, value)
