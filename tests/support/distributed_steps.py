"""Two training steps of every encoder of every recipe, in the processes of torchrun; one of them prints a line each.

torchrun --nproc-per-node 2 -m support.distributed_steps
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from severstal import recipe
from severstal.experiment import FoldConfig
from severstal.recipe import Recipe
from severstal.training.distributed import Distributed, init_distributed
from severstal.training.learner import Learner
from support.experiments import RECIPE_OF

SIDE = 64  # of a crop in pixels


def main() -> None:
    distributed = init_distributed()
    for encoder, name in RECIPE_OF.items():
        values = recipe.named(name).for_encoder(encoder, {"encoder_weights": "none", "amp": "off"})
        narrow = values.model_copy(update={"decoder_channels": (8,) * len(values.decoder_channels)})
        train_two_steps(encoder, narrow, distributed)
        if distributed.is_main:
            print("trained", encoder, flush=True)
    distributed.close()


def train_two_steps(encoder: str, values: Recipe, distributed: Distributed) -> None:
    """Train on one crop a process; the processes start from one network and have to end with one.

    Raises:
        RuntimeError: of DistributedDataParallel in the second step, if a parameter got no gradient in the first.
        AssertionError: if the loss is not finite, the network did not learn, or the processes have different networks.
    """
    torch.manual_seed(0)
    config = FoldConfig(
        encoder=encoder, fold=0, recipe=values, data="", synthetic=True, height=SIDE, width=SIDE,
        mean=0.4, std=0.2, versions={},
    )  # fmt: skip
    learner = Learner(config, distributed, resumes=False)
    before = weights_of(learner)
    learner.train()
    torch.manual_seed(1 + distributed.rank)  # other crops in each process
    for step in range(2):
        crops = torch.randint(0, 256, (1, 1, SIDE, SIDE), dtype=torch.uint8)
        bit_maps = torch.randint(0, 16, (1, SIDE, SIDE), dtype=torch.uint8)
        loss = learner.backward(crops, bit_maps, epoch=1, completes_step=True)
        assert torch.isfinite(loss), f"{encoder}: the loss of step {step} is {loss}"
        learner.step(step, learning_rate=1e-3)
    after = weights_of(learner)
    assert not torch.equal(before, after), f"{encoder} has learned nothing"
    largest = after.clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    dist.all_reduce(after, dist.ReduceOp.MIN)
    assert torch.equal(largest, after), f"{encoder}: the processes have different networks"


def weights_of(learner: Learner) -> torch.Tensor:
    """All weights and statistics of the network, in one row."""
    return torch.cat([value.detach().float().flatten() for value in learner.network.state_dict().values()])


if __name__ == "__main__":
    main()
