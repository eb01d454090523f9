"""Depthwise convolutions in a training on a CPU: the faster precision of each, and a faster gradient of large kernels.

With PyTorch's own they take a fifth of a step of the recipe ``sample``, and hold 3 % of its operations (profile of five
steps in bfloat16, one core of an AMD EPYC, 2026-11-27).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

UNIT = (1, 1)  # a stride or a dilation
SMALL_MAP = 256  # pixels up to which the weight gradient is computed here; on larger maps PyTorch's is as fast
_convolution_backward = torch.ops.aten.convolution_backward


class _DepthwiseConvolution(torch.autograd.Function):
    """A depthwise convolution of stride 1 whose weight gradient is a convolution, too.

    PyTorch's own takes 4.0 ms for kernels of 5x5 on eight maps of 1,152 channels and 4x4 pixels, this one 0.5 ms; 4.2
    and 1.6 ms on 240 channels of 16x16 pixels (one core of an AMD EPYC, PyTorch 2.11, 2026-11-27).
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        padding = list(ctx.padding)
        is_small = x.shape[2] * x.shape[3] <= SMALL_MAP
        of_x, of_weight, _ = _convolution_backward(
            gradients[0], x, weight, None, UNIT, padding, UNIT, False, [0, 0], len(weight), [True, not is_small, False]
        )
        return of_x, _weight_gradient(x, gradients[0], padding) if is_small else of_weight, None


def _weight_gradient(x: torch.Tensor, gradient: torch.Tensor, padding: list[int]) -> torch.Tensor:
    """Gradient ``[C, 1, k, k]`` of the kernels: each channel of each sample convolved with its output's gradient."""
    samples, channels = x.shape[:2]
    planes, kernels = x.reshape(1, -1, *x.shape[2:]), gradient.reshape(-1, 1, *gradient.shape[2:])
    per_sample = F.conv2d(planes, kernels, padding=padding, groups=samples * channels)
    return per_sample.unflatten(1, (samples, channels)).sum(dim=1).transpose(0, 1)


class _FastGradient(nn.Module):
    """Mixed into the class of a depthwise convolution without bias: its weight gradient is computed faster."""

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: None) -> torch.Tensor:
        output: torch.Tensor = _DepthwiseConvolution.apply(x, weight, self.padding)
        return output


class _Float32(nn.Module):
    """Mixed into the class of a convolution: it computes in float32 within autocast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            output: torch.Tensor = super().forward(x.float())
        return output


def speed_up_depthwise(network: nn.Module) -> None:
    """Change the classes of a network's depthwise convolutions to those that a CPU trains fastest; weights stay.

    In bfloat16 a CPU is slow at the gradients of all but 3x3 kernels with stride 1 (28 ms instead of 5 ms for 5x5 with
    stride 2), so the others compute in float32.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            mixins = _mixins(module)
            if mixins:
                kind = type(module)  # timm has its own, which pad like TensorFlow
                module.__class__ = type(kind.__name__, (*mixins, kind), {})


def _mixins(module: nn.Conv2d) -> tuple[type[nn.Module], ...]:
    is_large = max(module.kernel_size) > 3
    if module.stride == UNIT and not is_large:
        return ()
    is_plain = type(module) is nn.Conv2d and module.bias is None and isinstance(module.padding, tuple)
    is_plain &= module.padding_mode == "zeros"
    is_plain &= module.stride == module.dilation == UNIT and module.out_channels == module.in_channels
    return (_Float32, _FastGradient) if is_large and is_plain else (_Float32,)
