"""Every encoder of every recipe: all of it that trains takes part in training, down to its deepest stage."""

from __future__ import annotations

import pytest
import torch
from support.experiments import RECIPE_OF

from severstal import recipe
from severstal.models.unet import build_unet, input_stride, split_output
from severstal.models.unused_parameters import freeze_unused_parameters


@pytest.mark.parametrize("encoder", RECIPE_OF)
def test_every_trainable_parameter_of_every_encoder_gets_a_gradient(encoder: str) -> None:
    """DistributedDataParallel stops in the second step otherwise."""
    values = recipe.named(RECIPE_OF[encoder]).for_encoder(encoder, {"classifier_loss_weight": 0.1})
    network = build_unet(values, encoder).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    frozen = freeze_unused_parameters(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    logits, class_logits = split_output(network(torch.rand(2, 1, 64, 64)))
    (logits.square().mean() + class_logits.square().mean()).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == frozen
    assert all("decoder" not in name and "head.0" not in name for name in frozen)


CHANNELS = {  # of the stages of stride 2, 4, 8, 16 and 32; 0: the encoder has none
    "efficientnet-b3": (40, 32, 48, 136, 384),
    "se_resnext50_32x4d": (64, 256, 512, 1024, 2048),
    "resnet34": (64, 64, 128, 256, 512),
    "tu-convnext_tiny": (0, 96, 192, 384, 768),
}


@pytest.mark.parametrize("encoder", recipe.named("kaggle").encoders)
def test_the_networks_of_kaggle_use_all_stages_of_their_encoder(encoder: str) -> None:
    network = build_unet(recipe.named("kaggle").for_encoder(encoder), encoder).eval()
    assert tuple(network.encoder.out_channels[1:]) == CHANNELS[encoder]
    assert input_stride(network) == 32
    with torch.inference_mode():
        features = network.encoder(torch.zeros(1, 1, 64, 64))
    assert [tuple(feature.shape[1:]) for feature in features[1:]] == [
        (channels, side, side) for channels, side in zip(CHANNELS[encoder], (32, 16, 8, 4, 2), strict=True)
    ]
