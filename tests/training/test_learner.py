"""One training step."""

from __future__ import annotations

import torch
from support.experiments import TINY

from severstal import recipe
from severstal.experiment import FoldConfig, current_versions
from severstal.training.distributed import init_distributed
from severstal.training.learner import Learner

ENCODER = "tu-mobilenetv4_conv_small"


def step(**values: float) -> dict[str, float]:
    """How far the first step moves the weights of each part of the network: mean of the absolute changes."""
    torch.manual_seed(0)
    config = FoldConfig(
        encoder=ENCODER, fold=0, recipe=recipe.build({"name": "tiny", "amp": "off"} | TINY | values),
        data="", synthetic=True,
        height=64, width=64, mean=0.4, std=0.2, versions=current_versions(), initial_weights=None,
    )  # fmt: skip
    learner = Learner(config, init_distributed(), resumes=False)
    learner.train()
    network = learner._network
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    crops = torch.randint(0, 255, (2, 1, 64, 64), dtype=torch.uint8)
    learner.backward(crops, torch.randint(0, 16, (2, 64, 64), dtype=torch.uint8), 1, completes_step=True)
    learner.step(0, 1e-3)
    moved = {name: (value.detach() - before[name]).abs().mean().item() for name, value in network.named_parameters()}
    encoder = [change for name, change in moved.items() if name.startswith("encoder")]
    others = [change for name, change in moved.items() if not name.startswith("encoder")]
    return {"encoder": sum(encoder) / len(encoder), "others": sum(others) / len(others)}


def test_the_encoder_takes_its_own_share_of_the_learning_rate() -> None:
    usual, gentle = step(), step(encoder_learning_rate_factor=0.1)
    assert 0.05 < gentle["encoder"] / usual["encoder"] < 0.2
    assert 0.9 < gentle["others"] / usual["others"] < 1.1
