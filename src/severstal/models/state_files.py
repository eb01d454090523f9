"""Files of weights from elsewhere, read without running code that they might contain."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from severstal.errors import InputError, first_line

WRAPPERS = ("state_dict", "model", "model_state_dict", "ema")  # keys under which training scripts keep the weights

State = dict[str, torch.Tensor]


def read_state(path: Path) -> State:
    """The tensors of a safetensors file or a PyTorch state dict, by name.

    Raises:
        InputError: if the file is damaged, or holds anything else.
    """
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        if getattr(error, "filename", None):  # the system refuses the file; torch seeking beyond its end names none
            raise
        raise InputError(
            f"{path} cannot be read as a safetensors file or a PyTorch state dict ({first_line(error)}): "
            "fetch it again, or save it anew with `safetensors.torch.save_file(model.state_dict(), path)`"
        ) from None
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict (names and tensors): save `model.state_dict()` instead")
    return state
