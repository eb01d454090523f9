"""A whole network's weights as the first weights of another one: fine-tuning."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from severstal.artifacts import file_sha256
from severstal.errors import InputError
from severstal.models.encoder_weights import InitialWeights
from severstal.models.state_files import read_state

logger = logging.getLogger(__name__)

WRAPPER = "unet."  # names in a downscaled network begin with it
CLASSIFIER = "classification_head."  # the only part that one of the two networks may lack


def load_whole_network(network: nn.Module, path: Path) -> InitialWeights:
    """Load encoder, decoder and heads from another network's weights.

    Args:
        network: of :func:`severstal.models.unet.build_unet`; its classifier keeps its random weights where the file
            has none, and the two may reduce their input by different factors.
        path: of ``weights.safetensors``.

    Raises:
        InputError: if the file is damaged, or of a network with another encoder or decoder.
    """
    state = {name.removeprefix(WRAPPER): tensor for name, tensor in read_state(path).items()}
    target = network.state_dict()
    places = {name.removeprefix(WRAPPER): name for name in target}
    missing = tuple(name for name in places if name not in state)
    unused = tuple(name for name in state if name not in places)
    wrong = [name for name in (*missing, *unused) if not name.startswith(CLASSIFIER)]
    wrong += [name for name in state if name in places and state[name].shape != target[places[name]].shape]
    if wrong:
        raise InputError(
            f"{path} does not fit the network: {len(wrong)} tensors differ, the first is {wrong[0]}. Both need the "
            "same encoder, decoder_channels and decoder_stride: take them from the recipe.json of that experiment"
        )
    network.load_state_dict(target | {places[name]: tensor for name, tensor in state.items() if name in places})
    weights = InitialWeights(
        source=str(path),
        sha256=file_sha256(path),
        loaded=len(state) - len(unused),
        missing=missing,
        unused=unused,
    )
    logger.info("first weights of the whole network from %s", weights)
    return weights
