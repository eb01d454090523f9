"""State of an unfinished training after its last complete epoch: replaced atomically, read without running code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TypedDict

import torch

from severstal.artifacts import replacing
from severstal.errors import InputError, first_line
from severstal.training.averaging import TopEpoch
from severstal.training.epoch_log import EpochRecord
from severstal.training.learner import LearnerState


class Checkpoint(TypedDict):
    """What a resumed training needs, as tensors and plain values.

    Attributes:
        fingerprint: of the configuration and the data.
        learner: weights, averaged weights, and the states of optimiser and AMP.
        top_epochs: the best epochs so far with their weights.
        records: of the finished epochs.
        num_threads: of torch; with another number sums are added in another order and give other weights.
    """

    fingerprint: str
    learner: LearnerState
    top_epochs: list[TopEpoch]
    records: list[EpochRecord]
    num_threads: int


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint.

    Raises:
        InputError: if the file cannot be written; torch reports a full disk as a RuntimeError.
    """
    try:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)
    except RuntimeError as error:
        raise InputError(f"{path} cannot be written ({first_line(error)}): is the disk full?") from None


def load(path: Path, folder: Path, remake: str) -> Checkpoint:
    """Read a checkpoint.

    Args:
        folder: the fold's, to be deleted if the file is damaged.
        remake: the command that trains the fold, for the error message.

    Raises:
        InputError: if the file is damaged or is not a checkpoint of this version.
    """
    try:
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict) or checkpoint.keys() != Checkpoint.__annotations__.keys():
            raise ValueError("it is not a checkpoint of this version")
        return checkpoint
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, OSError) as error:
        # An error of the system names the file; torch's error for a truncated file does not.
        if getattr(error, "filename", None):
            raise
        raise InputError(f"{path} is damaged ({first_line(error)}): delete {folder} and run `{remake}`") from None
