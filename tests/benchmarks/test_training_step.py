"""The benchmark of a training step: plain and own step train the same network on the same crops."""

from __future__ import annotations

import pytest
import torch
from support.experiments import TINY

from benchmarks import training_step
from severstal import recipe
from severstal.models.unet import build_unet

ENCODER = "tu-mobilenetv4_conv_small"
VALUES = {"name": "tiny", "amp": "off", "crop_height": 64, "crop_width": 64, "batch_size": 2}


@pytest.mark.parametrize("downscale", [1, 2])
def test_every_step_runs(downscale: int) -> None:
    chosen = recipe.build(TINY | VALUES | {"downscale": downscale})
    for build in (training_step.plain_step, training_step.our_step):
        for mode in ("off", "bf16"):
            step = build(chosen, ENCODER, mode)
            step()
            step()


@pytest.mark.parametrize("downscale", [1, 2])
def test_the_plain_step_compares_logits_with_masks_of_full_size(downscale: int) -> None:
    network = build_unet(recipe.build(TINY | VALUES | {"downscale": downscale}), ENCODER).train()
    x = torch.rand(2, 1, 64, 128)
    assert training_step.full_size_logits(network, x).shape == (2, 4, 64, 128)


def test_crops_show_a_defect() -> None:
    crops, bit_maps = training_step.batch(recipe.build(TINY | VALUES))
    assert crops.shape[1] == 1
    assert crops.shape[2:] == bit_maps.shape[1:]
    assert 0 < bit_maps.float().mean() < 0.2
