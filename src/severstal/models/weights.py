"""Weights as safetensors files: tensors and a header of text, so that loading them runs no code.

torch takes seconds to import and is not needed to read a header, which is how a stage finds that a fold is trained:
it is imported only where tensors are written or loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from severstal.artifacts import replacing
from severstal.errors import InputError

if TYPE_CHECKING:
    import torch

# safetensors writes several entries in random order, and equal weights have to give equal files: they are kept as one.
ENTRY = "severstal"


def save(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a network's state; ``metadata`` goes into the file's header.

    Raises:
        InputError: if the file cannot be written: safetensors reports a full disk by an exception of its own.
    """
    from safetensors.torch import save_file

    try:
        with replacing(path) as temporary:
            header = {ENTRY: json.dumps(metadata, sort_keys=True)}
            save_file({name: value.contiguous() for name, value in state.items()}, temporary, header)
    except SafetensorError as error:
        raise InputError(f"{path} cannot be written ({error}): is the disk full?") from None


def read_metadata(path: Path, remake: str) -> dict[str, str]:
    """The metadata in the header of a weights file.

    Args:
        remake: the command that makes the file, for the error messages.

    Raises:
        InputError: if the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
        metadata = json.loads(header[ENTRY]) if ENTRY in header else header
        if not isinstance(metadata, dict):
            raise ValueError(f"{ENTRY} in its header is no object")
        return metadata
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{remake}`") from None
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run `{remake}`") from None


def load(path: Path, network: torch.nn.Module, remake: str) -> None:
    """Load weights into a network.

    Raises:
        InputError: as :func:`read_metadata`, and if the file holds the weights of another network, or a weight that is
            no finite number: such a network predicts nothing, and no engine says so.
    """
    from safetensors.torch import load_file

    read_metadata(path, remake)
    state = load_file(path)
    if names := nonfinite_names(state):
        raise InputError(f"{path} has NaN or infinity in {names[0]}: delete {path.parent} and run `{remake}`")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{path} does not fit the network ({reason}): delete it and run `{remake}`") from None


def nonfinite_names(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that hold a NaN or an infinity; it waits for the GPU once."""
    import torch

    tensors = {name: value for name, value in state.items() if value.is_floating_point()}
    if not tensors:
        return []
    is_finite = torch.stack([torch.isfinite(value).all() for value in tensors.values()]).tolist()
    return [name for name, finite in zip(tensors, is_finite, strict=True) if not finite]
