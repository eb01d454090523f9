"""The log of a training in TensorBoard's form, as TensorBoard reads it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.experiments import write_tiny
from support.training import job, log_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from severstal.experiment import Member
from severstal.training.averaging import TopEpoch
from severstal.training.epoch_log import EpochLog, EpochRecord


@pytest.fixture
def member(tmp_path) -> Member:
    return job(write_tiny(tmp_path)).member


def publish(log: EpochLog, epoch: int, dice: float) -> None:
    log.records.append(
        EpochRecord(
            epoch=epoch, loss=1 / epoch, dice=dice, dice_per_class=[dice] * 4, dice_untuned=0.5, learning_rate=1e-3,
            loss_scale=1024.0, skipped_steps=epoch, train_seconds=1.0, loading_share=0.0, validation_seconds=1.0,
        )
    )  # fmt: skip
    log.publish(TopEpoch(dice=dice, epoch=epoch, state={}))


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """Epochs and values that TensorBoard shows."""
    board = EventAccumulator(str(folder))
    board.Reload()
    return [(event.step, round(event.value, 4)) for event in board.Scalars(name)]


def test_tensorboard_shows_every_epoch_once_also_of_a_training_that_was_interrupted(member) -> None:
    log = EpochLog(member, 3, 0)
    publish(log, 1, 0.25)
    publish(log, 2, 0.75)  # its checkpoint was not written, so it is trained again
    log = EpochLog(member, 3, 0)
    log.records = [EpochRecord(**record) for record in log_of(member.paths)[:1]]
    publish(log, 2, 0.5)
    publish(log, 3, 0.75)
    assert curve(member.files.tensorboard, "dice") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert curve(member.files.tensorboard, "dice_class_4") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert curve(member.files.tensorboard, "skipped_steps") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_training_goes_on_where_tensorboards_file_cannot_be_written(member, caplog) -> None:
    log, files = EpochLog(member, 3, 0), member.files
    files.folder.mkdir(parents=True)
    files.tensorboard.write_text("a file where the folder has to be")
    with caplog.at_level(logging.WARNING):
        publish(log, 1, 0.25)
    assert f"{files.tensorboard}: File exists: TensorBoard lacks epoch 1, which is in log.jsonl" in caplog.text
    files.tensorboard.unlink()
    publish(log, 2, 0.5)
    assert curve(files.tensorboard, "loss") == [(2, 0.5)]
    assert [record["epoch"] for record in log_of(member.paths)] == [1, 2]
