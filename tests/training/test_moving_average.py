"""The moving average of the weights equals timm's to the bit."""

from __future__ import annotations

import pytest
import torch
from support.experiments import TINY

from severstal import recipe
from severstal.models.libraries import timm
from severstal.models.unet import build_unet
from severstal.training.moving_average import MovingAverage


@pytest.mark.parametrize("encoder", ["resnet18", "tu-mobilenetv4_conv_small"])
def test_the_average_equals_that_of_timm_over_weights_statistics_and_counters(encoder: str) -> None:
    torch.manual_seed(0)
    network = build_unet(recipe.build({"name": "tiny"} | TINY), encoder)
    average, expected = MovingAverage(network, 0.9), timm.utils.ModelEmaV3(network, decay=0.9, use_warmup=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(5):
        network.train()(torch.randn(2, 1, 64, 64)).square().mean().backward()
        optimizer.step()
        average.update(network, step)
        expected.update(network, step=step)
    found, wanted = average.module.state_dict(), expected.module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert any(name.endswith("num_batches_tracked") and value == 5 for name, value in found.items())
    assert not average.module.training


@pytest.mark.parametrize("step", [0, 1, 2, 3, 10, 200, 100_000])
def test_the_decay_grows_as_that_of_timm(step: int) -> None:
    layer = torch.nn.Linear(1, 1)
    expected = timm.utils.ModelEmaV3(layer, decay=0.99, use_warmup=True)
    assert MovingAverage(layer, 0.99)._decay_at(step) == pytest.approx(expected.get_decay(step), abs=0, rel=0)
