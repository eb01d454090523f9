"""Batch normalisation over all processes that train one network, so that they learn what one process with all samples
would.

PyTorch has this for GPUs only. The classes here do it on a CPU too: slowly, but so that it is tested without GPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from severstal.models.libraries import timm
from severstal.training.all_reduce import differentiable_all_reduce


class CpuSyncBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the mean and variance of all processes' samples."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``[N, C, H, W]`` of any float type; sums are computed in float32."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        x32 = x.float()
        count = x32.numel() / x32.shape[1] * dist.get_world_size()
        mean = differentiable_all_reduce(x32.sum(dim=(0, 2, 3))) / count
        centred = x32 - mean[:, None, None]
        variance = differentiable_all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class CpuSyncBatchNormAct(CpuSyncBatchNorm):
    """:class:`CpuSyncBatchNorm` followed by timm's dropout and activation."""

    act: nn.Module
    drop: nn.Module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the base class, then dropout and activation."""
        return self.act(self.drop(super().forward(x)))


def convert_sync_batchnorm(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with synchronised batch normalisation; its parameters stay the same objects.

    It uses timm's conversion: PyTorch's drops the activation that timm keeps inside its normalisation layers.
    """
    network = timm.layers.convert_sync_batchnorm(network)
    if device.type == "cpu":
        for module in network.modules():
            if isinstance(module, nn.SyncBatchNorm):
                # DistributedDataParallel refuses the class SyncBatchNorm on a CPU. Both classes hold the same state.
                has_activation = isinstance(module, timm.layers.SyncBatchNormAct)
                replacement: Any = CpuSyncBatchNormAct if has_activation else CpuSyncBatchNorm
                module.__class__ = replacement
    return network
