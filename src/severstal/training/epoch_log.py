"""The log of a training: one record per epoch in ``log.jsonl``, in TensorBoard, and as a line on the console."""

from __future__ import annotations

import json
import logging
from typing import Literal, TypedDict

import numpy as np

from severstal.artifacts import write_text
from severstal.console import duration
from severstal.data.labels import CLASSES
from severstal.errors import describe_system_error
from severstal.experiment import Member
from severstal.training.averaging import TopEpoch
from severstal.training.load_timer import describe_loading
from severstal.training.tensorboard_file import TensorBoardFile

logger = logging.getLogger(__name__)

SCALARS: tuple[Literal["loss", "dice", "dice_untuned", "learning_rate"], ...] = (
    "loss",
    "dice",
    "dice_untuned",
    "learning_rate",
)


class EpochRecord(TypedDict):
    """One line of ``log.jsonl``.

    Attributes:
        epoch: from 1.
        loss: mean over the epoch's batches and all processes.
        dice: mean over the classes of ``dice_per_class``; epochs are compared by it.
        dice_per_class: at the threshold and minimum mask area that suit each class best.
        dice_untuned: at fixed values, see :class:`severstal.training.validation.FoldScores`.
        learning_rate: after the epoch's last step.
        loss_scale: of float16 training after the epoch's last step; None without scaling.
        skipped_steps: optimiser steps of the epoch whose gradients were not finite.
        train_seconds: of the training, without validation.
        loading_share: part of ``train_seconds`` spent waiting for the data loader.
        validation_seconds: of the validation.
    """

    epoch: int
    loss: float
    dice: float
    dice_per_class: list[float]
    dice_untuned: float
    learning_rate: float
    loss_scale: float | None
    skipped_steps: int
    train_seconds: float
    loading_share: float
    validation_seconds: float


class EpochLog:
    """The records of a training so far.

    Attributes:
        records: one per finished epoch.
    """

    def __init__(self, member: Member, num_epochs: int, num_workers: int) -> None:
        self._member, self._num_epochs, self._num_workers = member, num_epochs, num_workers
        self._board: TensorBoardFile | None = None
        self.records: list[EpochRecord] = []

    def publish(self, best: TopEpoch) -> None:
        """Write the last record to all three places; ``best`` is the best epoch so far. Only the main process does."""
        record = self.records[-1]
        text = "".join(json.dumps(record) + "\n" for record in self.records)
        write_text(self._member.files.log, text)
        self._write_tensorboard(record)
        logger.info(self._line(record, best))

    def _write_tensorboard(self, record: EpochRecord) -> None:
        """Add the epoch to TensorBoard's file; a training does not end because that fails."""
        values: dict[str, float] = {name: record[name] for name in SCALARS}
        if record["loss_scale"] is not None:
            values |= {"loss_scale": record["loss_scale"], "skipped_steps": record["skipped_steps"]}
        values |= {f"dice_class_{defect}": dice for defect, dice in zip(CLASSES, record["dice_per_class"], strict=True)}
        # An interrupted epoch may have been written by an earlier process: TensorBoard drops it.
        board = self._board or TensorBoardFile(self._member.files.tensorboard, record["epoch"])
        try:
            board.add(record["epoch"], values)
            self._board = board
        except OSError as error:
            self._board = None  # the next epoch begins a new file: this one may end in half a record
            reason, log = describe_system_error(error), self._member.files.log.name
            logger.warning("%s: TensorBoard lacks epoch %d, which is in %s", reason, record["epoch"], log)

    def _line(self, record: EpochRecord, best: TopEpoch) -> str:
        """One line: loss, Dice, the best epoch so far, speed, time left."""
        seconds = float(np.mean([record["train_seconds"] + record["validation_seconds"] for record in self.records]))
        time_left = seconds * (self._num_epochs - record["epoch"])
        per_class = " ".join(f"{dice:.3f}" for dice in record["dice_per_class"])
        compared = "best" if best["epoch"] == record["epoch"] else f"best {best['dice']:.4f}"
        return (
            f"{self._member.name}  epoch {record['epoch']}/{self._num_epochs}  loss {record['loss']:.4f}  "
            f"Dice {record['dice']:.4f} ({per_class})  {compared}  {seconds:.0f} s/epoch, "
            f"{describe_loading(record['loading_share'], self._num_workers)}, {duration(time_left)} left"
            f"{_describe_scaling(record)}"
        )


def _describe_scaling(record: EpochRecord) -> str:
    """Text for the loss scale of float16 and the steps that it skipped; empty without scaling."""
    if record["loss_scale"] is None:
        return ""
    return f", loss scale {record['loss_scale']:g}, {record['skipped_steps']} steps skipped"
