"""State of an unfinished training after its last whole epoch; replaced as a whole, read without running code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from severstal.artifacts import replacing
from severstal.errors import InputError


def save(path: Path, state: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        torch.save(state, temporary)


def load(path: Path, folder: Path, remake: str) -> dict[str, Any]:
    """Raises :class:`InputError` if the file is cut short or holds anything but tensors and plain values."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} is damaged ({str(error).splitlines()[0]}): delete {folder} and run `{remake}`"
        ) from None
