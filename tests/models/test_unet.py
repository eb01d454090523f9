"""Networks: each recipe's encoders, reduced input, and what a wrong or unavailable encoder is answered with."""

from __future__ import annotations

import socket

import pytest
import torch
from support.experiments import TINY

from severstal import recipe, recipe_files
from severstal.errors import InputError
from severstal.models import encoder_weights
from severstal.models.encoder_names import check_encoder
from severstal.models.libraries import smp
from severstal.models.unet import build_initial_unet, build_unet, input_stride, split_output

RECIPE_OF = {encoder: name for name in recipe_files.names() for encoder in recipe.named(name).encoders}


@pytest.mark.parametrize("encoder", RECIPE_OF)
def test_every_encoder_of_every_recipe_takes_grey_strips_and_is_used_to_its_deepest_stage(encoder) -> None:
    check_encoder(encoder)
    values = recipe.named(RECIPE_OF[encoder], {}).for_encoder(encoder)
    network = build_unet(values, encoder).eval()
    with torch.inference_mode():
        logits, class_logits = split_output(network(torch.zeros(1, 1, 64, 64)))
    assert logits.shape == (1, 4, 64, 64)
    assert (class_logits is not None) == (values.classifier_loss_weight > 0)
    assert input_stride(network) == 32 * values.downscale
    used = getattr(network, "unet", network).encoder
    complete = smp.encoders.get_encoder(encoder, in_channels=1, depth=5, weights=None)
    assert list(used.out_channels) == list(complete.out_channels)


def test_a_downscaled_network_works_at_half_size_and_answers_in_full_size() -> None:
    values = recipe.build({"name": "tiny"} | TINY | {"downscale": 2})
    network = build_unet(values, "tu-mobilenetv4_conv_small").eval()
    assert input_stride(network) == 64
    received = []
    network.unet.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0].shape))
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 128)).shape == (1, 4, 64, 128)
    assert received == [(1, 1, 32, 64)]


def test_a_downscaled_network_is_trained_on_logits_of_its_own_size() -> None:
    values = recipe.build({"name": "tiny"} | TINY | {"downscale": 2})
    network = build_unet(values, "tu-mobilenetv4_conv_small")
    assert network.train()(torch.zeros(2, 1, 64, 128)).shape == (2, 4, 32, 64)
    assert network.eval()(torch.zeros(2, 1, 64, 128)).shape == (2, 4, 64, 128)


def test_weights_that_cannot_be_downloaded_are_an_error_with_every_cure(monkeypatch) -> None:
    """A hub that accepts connections and never answers ends in an error as soon as its time is over."""
    with socket.socket() as hub:
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        monkeypatch.setattr(encoder_weights.constants, "ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        monkeypatch.setattr(encoder_weights, "HUB_TIMEOUT", 0.2)
        with pytest.raises(InputError, match=r"onnect to the internet.*--encoder-weights FILE.*--encoder-weights none"):
            build_initial_unet(recipe.named("kaggle", {}), "resnet34")


def test_a_decoder_that_ends_early_gives_logits_in_full_size() -> None:
    values = recipe.build({"name": "tiny"} | TINY | {"decoder_channels": [16, 16, 8, 8], "decoder_stride": 2})
    network = build_unet(values, "tu-mobilenetv4_conv_small").eval()
    assert len(network.decoder.blocks) == 4
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 128)).shape == (1, 4, 64, 128)


def test_a_network_starts_with_defects_being_rare() -> None:
    network = build_unet(recipe.build({"name": "tiny"} | TINY), "tu-mobilenetv4_conv_small").eval()
    with torch.inference_mode():
        assert torch.sigmoid(network(torch.zeros(1, 1, 64, 64))).mean() < 0.1


def test_a_mistyped_encoder_is_answered_with_similar_names() -> None:
    with pytest.raises(InputError, match=r"did you mean.*resnet34"):
        check_encoder("resnet43")


def test_a_network_has_a_classifier_only_if_the_loss_gives_it_a_weight() -> None:
    with_weight = recipe.build({"name": "tiny"} | TINY | {"classifier_loss_weight": 0.2})
    without = recipe.build({"name": "tiny"} | TINY)
    heads = [
        any("classification_head" in name for name in build_unet(values, "resnet18").state_dict())
        for values in (with_weight, without)
    ]
    assert heads == [True, False]
