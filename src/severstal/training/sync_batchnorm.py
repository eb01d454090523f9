"""Batch statistics over all processes that train one network: several then learn what one with all samples would.

PyTorch has this for GPUs alone; here it works on a CPU too, which is slow, and how the rest is tested without GPUs.
"""

from __future__ import annotations

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F

from severstal.models.libraries import timm


class CpuBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are those of all processes' samples."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` of any float type; sums are made in float32."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        wide = x.float()
        count = wide.numel() / wide.shape[1] * distributed.get_world_size()
        mean = all_reduce(wide.sum(dim=(0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class CpuBatchNormAct(CpuBatchNorm):
    """The same with timm's dropout and activation after it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(super().forward(x)))


def synced(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every batch normalisation made one over all processes; its weights stay the same objects.

    timm's conversion, not PyTorch's: that one drops the activation that timm keeps inside its normalisation.
    """
    network = timm.layers.convert_sync_batchnorm(network)
    if device.type == "cpu":
        for module in network.modules():
            if isinstance(module, nn.SyncBatchNorm):
                # DistributedDataParallel refuses a SyncBatchNorm on a CPU by its class; its state is that of any other.
                module.__class__ = CpuBatchNormAct if isinstance(module, timm.layers.SyncBatchNormAct) else CpuBatchNorm
    return network
