"""State of an unfinished training after its last whole epoch; replaced as a whole, read without running code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from severstal.artifacts import replacing
from severstal.errors import InputError, first_line


def save(path: Path, state: dict[str, Any]) -> None:
    """Raises :class:`InputError` if the file cannot be written: torch tells of a full disk as a RuntimeError."""
    try:
        with replacing(path) as temporary:
            torch.save(state, temporary)
    except RuntimeError as error:
        raise InputError(f"{path} cannot be written ({first_line(error)}): is the disk full?") from None


def load(path: Path, folder: Path, remake: str) -> dict[str, Any]:
    """Raises :class:`InputError` if the file is cut short or holds anything but tensors and plain values."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "fingerprint" not in state:
            raise ValueError("it is not the state of a training")
        return state
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, OSError) as error:
        # What the system refuses names the file; torch seeking beyond the end of one names none.
        if getattr(error, "filename", None):
            raise
        raise InputError(f"{path} is damaged ({first_line(error)}): delete {folder} and run `{remake}`") from None
