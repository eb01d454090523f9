"""Networks: each recipe's encoders, reduced input, and what a wrong or unavailable encoder is answered with."""

from __future__ import annotations

import pytest
import torch
from support.experiments import TINY

from severstal import recipe, recipe_files
from severstal.errors import InputError
from severstal.models import unet as unet_module
from severstal.models.encoders import check_encoder
from severstal.models.unet import build_unet, input_stride

RECIPE_OF = {encoder: name for name in recipe_files.names() for encoder in recipe.named(name).encoders}


@pytest.mark.parametrize("encoder", RECIPE_OF)
def test_every_encoder_of_every_recipe_takes_grey_strips(encoder) -> None:
    check_encoder(encoder)
    network = build_unet(recipe.named(RECIPE_OF[encoder], {}).for_encoder(encoder), encoder, pretrained=False).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 4, 64, 64)


def test_a_downscaled_network_works_at_half_size_and_answers_in_full_size() -> None:
    values = recipe.build({"name": "tiny"} | TINY | {"downscale": 2})
    network = build_unet(values, "tu-mobilenetv4_conv_small", pretrained=False).eval()
    assert input_stride(network) == 64
    received = []
    network.unet.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0].shape))
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 128)).shape == (1, 4, 64, 128)
    assert received == [(1, 1, 32, 64)]


def test_pretrained_weights_that_cannot_be_fetched_are_an_error_with_a_cure(monkeypatch) -> None:
    def offline(**_):
        raise OSError("We couldn't connect to 'https://huggingface.co'")

    monkeypatch.setattr(unet_module.smp, "Unet", offline)
    with pytest.raises(InputError, match="--encoder-weights none"):
        build_unet(recipe.named("kaggle", {}), "resnet34", pretrained=True)


def test_a_mistyped_encoder_is_answered_with_similar_names() -> None:
    with pytest.raises(InputError, match=r"did you mean.*resnet34"):
        check_encoder("resnet43")


def test_a_network_has_a_classifier_only_if_the_loss_gives_it_a_weight() -> None:
    with_weight = recipe.build({"name": "tiny"} | TINY | {"classifier_loss_weight": 0.2})
    without = recipe.build({"name": "tiny"} | TINY)
    heads = [
        any("classification_head" in name for name in build_unet(values, "resnet18", pretrained=False).state_dict())
        for values in (with_weight, without)
    ]
    assert heads == [True, False]
