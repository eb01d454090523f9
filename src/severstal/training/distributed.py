"""The processes that train one network together: this one alone, or as many as ``torchrun`` started."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from severstal.models.unused_parameters import freeze_unused_parameters
from severstal.processes import end_with_parent, started_by_torchrun
from severstal.training.all_reduce import differentiable_all_reduce
from severstal.training.sync_batchnorm import convert_sync_batchnorm


@dataclass(frozen=True)
class Distributed:
    """This process among those of one training.

    Attributes:
        rank: of this process, from 0.
        world_size: number of processes.
        device: on which this process computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and log lines."""
        return self.rank == 0

    @property
    def local_world_size(self) -> int:
        """Number of processes on this machine."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.world_size)) if started_by_torchrun() else self.world_size

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, on the same device; gradients flow through it."""
        return differentiable_all_reduce(values) if self.world_size > 1 else values

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, without gradients, on the CPU."""
        if self.world_size == 1:
            return values.cpu()
        values = values.to(self.device)
        dist.all_reduce(values)
        return values.cpu()

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            dist.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged, and batch statistics taken, over all processes."""
        if self.world_size == 1:
            return network
        freeze_unused_parameters(network)
        network = convert_sync_batchnorm(network, self.device)
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def close(self) -> None:
        """Leave the group of processes, if this process is still in it."""
        if started_by_torchrun() and dist.is_initialized():
            dist.destroy_process_group()


def init_distributed() -> Distributed:
    """Join the other processes if torchrun started this one; the device is the GPU of this process or the CPU."""
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not started_by_torchrun():
        return Distributed(0, 1, device)
    end_with_parent()
    # Without device_id NCCL guesses the GPU from the rank, which is wrong on the second machine.
    dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    return Distributed(dist.get_rank(), dist.get_world_size(), device)
