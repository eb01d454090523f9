"""Numbers of epochs for TensorBoard, each appended when its epoch ends.

torch's ``SummaryWriter`` writes in a thread of its own, which prints a traceback where the disk is full.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class TensorBoardFile:
    """One file of events, from an epoch on; TensorBoard drops these epochs from earlier files of its folder."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        name = f"events.out.tfevents.{time.time():010.0f}.{os.uname().nodename}.{os.getpid()}.{first_epoch}"
        self._path = folder / name
        self._start = [
            Event(step=first_epoch, file_version="brain.Event:2"),
            Event(step=first_epoch, session_log=SessionLog(status=SessionLog.START)),
        ]

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Append the numbers of an epoch by their names.

        Raises:
            OSError: if they cannot be written; the file may then end in half a record.
        """
        numbers = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        content = io.BytesIO()
        records = RecordWriter(content)
        for event in [*self._start, Event(step=epoch, summary=numbers)]:
            event.wall_time = time.time()
            records.write(event.SerializeToString())
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(content.getvalue())
        self._start = []
