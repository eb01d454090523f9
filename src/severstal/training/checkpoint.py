"""State of an unfinished training after its last complete epoch: replaced atomically, read without running code."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypedDict

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


class CheckpointWriter:
    """Writes checkpoints of one training in a thread: a disk takes seconds to sync those of a large network.

    As a context it ends when the last one is on disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def save(self, checkpoint: Checkpoint) -> None:
        """Take the present state of a checkpoint's tensors and write it later, after the one before.

        Raises:
            OSError: if the one before could not be written.
        """
        self.wait()
        content = io.BytesIO()
        torch.save(checkpoint, content)
        self._pending = self._thread.submit(self._write, content)

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk.

        Raises:
            OSError: if it could not be written.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _write(self, content: io.BytesIO) -> None:
        with replacing(self._path) as temporary:
            temporary.write_bytes(content.getbuffer())


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
