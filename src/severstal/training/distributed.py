"""The processes that train one network together: one, or as many as ``torchrun`` started."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce


@dataclass(frozen=True)
class Distributed:
    """This process among those of one training."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, on the CPU."""
        if self.size == 1:
            return values.cpu()
        values = values.to(self.device)
        distributed.all_reduce(values)
        return values.cpu()

    def total(self, sums: torch.Tensor) -> torch.Tensor:
        """Sums over all processes that gradients flow through, where they are."""
        return all_reduce(sums) if self.size > 1 else sums

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes, batch statistics too."""
        if self.size == 1:
            return network
        from severstal.training.sync_batchnorm import synced

        network = synced(network, self.device)
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def close(self) -> None:
        if self.size > 1:
            distributed.destroy_process_group()


def started_by_torchrun() -> bool:
    return "WORLD_SIZE" in os.environ and "LOCAL_RANK" in os.environ


def join() -> Distributed:
    """Join the other processes where torchrun started this one; else be alone, on the GPU if there is one."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not started_by_torchrun():
        return Distributed(0, 1, device)
    distributed.init_process_group("nccl" if cuda else "gloo")
    return Distributed(distributed.get_rank(), distributed.get_world_size(), device)
