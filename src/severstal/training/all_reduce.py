"""The sum of a tensor over all processes, through which gradients flow."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class _AllReduce(torch.autograd.Function):
    """Each process's output depends on every input, so an input's gradient is the sum of all outputs' gradients."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:  # torch passes a context
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def differentiable_all_reduce(values: torch.Tensor) -> torch.Tensor:
    """Sum over all processes, on the same device; all processes have to call it, and its backward pass."""
    total: torch.Tensor = _AllReduce.apply(values)
    return total
