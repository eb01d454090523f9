"""One training step: crops of any size, and the network that is validated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.experiments import TINY

from severstal import recipe
from severstal.experiment import FoldConfig, current_versions
from severstal.training.distributed import init_distributed
from severstal.training.learner import Learner

ENCODER = "tu-mobilenetv4_conv_small"


def new_learner(**values: Any) -> Learner:
    """Before its first step; values of the recipe."""
    torch.manual_seed(0)
    config = FoldConfig(
        encoder=ENCODER, fold=0, recipe=recipe.build({"name": "tiny", "amp": "off"} | TINY | values),
        data="", synthetic=True,
        height=64, width=64, mean=0.4, std=0.2, versions=current_versions(), initial_weights=None,
    )  # fmt: skip
    return Learner(config, init_distributed(), resumes=False)


def step(**values: float) -> dict[str, float]:
    """How far the first step moves the weights of each part of the network: mean of the absolute changes."""
    learner = new_learner(**values)
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


def test_only_kernels_decay() -> None:
    """With a loss that does not depend on the weights, weight decay alone moves them."""
    learner = new_learner(weight_decay=0.5)
    before = {name: value.detach().clone() for name, value in learner._network.named_parameters()}
    sum(value.sum() * 0 for value in learner._network.parameters()).backward()
    learner.step(0, 1e-2)
    shrunk = {
        name for name, value in learner._network.named_parameters() if not torch.equal(value.detach(), before[name])
    }
    assert shrunk == {name for name, value in before.items() if value.ndim > 1}


@pytest.mark.parametrize(("decoder_stride", "downscale"), [(1, 2), (2, 1), (4, 2)])
def test_crops_of_any_size_are_trained_on(decoder_stride: int, downscale: int) -> None:
    """Strips lower than a crop give crops of their own height."""
    learner = new_learner(decoder_channels=[16, 16, 8], decoder_stride=decoder_stride, downscale=downscale)
    learner.train()
    for number, (height, width) in enumerate([(201, 64), (252, 64), (20, 30), (1, 3)]):
        crops = torch.randint(0, 255, (2, 1, height, width), dtype=torch.uint8)
        bit_maps = torch.randint(0, 16, (2, height, width), dtype=torch.uint8)
        assert torch.isfinite(learner.backward(crops, bit_maps, 1, completes_step=True))
        learner.step(number, 1e-3)


def test_the_averaged_network_is_validated_in_the_precision_that_is_trained_in() -> None:
    learner = new_learner(amp="bf16")
    strips = torch.rand(1, 1, 64, 64)
    with torch.inference_mode(), learner.amp.autocast():
        trained, averaged = learner.network.eval()(strips), learner.ema_network(strips)
    assert torch.equal(trained, averaged)
