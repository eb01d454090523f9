"""Checkpoints: damaged ones are refused with a cure, and loading one runs no code."""

from __future__ import annotations

import io
import pickle
import threading
from pathlib import Path

import pytest
import torch
from support.training import ENCODER, SHARED_VALUES, interrupt, job

from severstal.errors import InputError
from severstal.training import checkpoint
from severstal.training.checkpoint import Checkpoint, CheckpointWriter


def small_checkpoint() -> Checkpoint:
    learner = {"network": {"w": torch.zeros(1000)}, "ema": {}, "optimizer": {}, "amp": {}}
    return {"fingerprint": "f", "learner": learner, "top_epochs": [], "records": [], "num_threads": 1}


def write(file: Path) -> None:
    with CheckpointWriter(file) as writer:
        writer.save(small_checkpoint())


class PrintsWhenLoaded:
    def __reduce__(self):
        return (print, ("code of the checkpoint ran",))


def test_a_checkpoint_runs_no_code(tmp_path, capsys) -> None:
    file = tmp_path / "checkpoint.pt"
    torch.save(small_checkpoint() | {"fingerprint": PrintsWhenLoaded()}, file)
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load(file, tmp_path, "bash bin/train.sh")
    file.write_bytes(pickle.dumps(PrintsWhenLoaded()))
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load(file, tmp_path, "bash bin/train.sh")
    assert "ran" not in capsys.readouterr().out


def test_a_truncated_file_or_another_one_is_refused_with_a_cure(tmp_path) -> None:
    file = tmp_path / "checkpoint.pt"
    write(file)
    assert checkpoint.load(file, tmp_path, "train")["fingerprint"] == "f"
    complete = file.read_bytes()
    torch.save(torch.zeros(3), file)
    others = [b"", b"text", b"no checkpoint", b"\x80\x02}q.", b".", file.read_bytes()]
    torch.save({"fingerprint": "f", "of": "an earlier version"}, file)
    others.append(file.read_bytes())
    for content in (*others, *(complete[:size] for size in range(0, len(complete), 211))):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"checkpoint\.pt is damaged .*: delete .* and run `train`"):
            checkpoint.load(file, tmp_path, "train")


def test_a_checkpoint_of_another_configuration_is_refused(tiny) -> None:
    interrupt(job(tiny, SHARED_VALUES), epoch=1)
    write(tiny.fold(ENCODER, 0).checkpoint)
    with pytest.raises(InputError, match="another configuration"):
        job(tiny, SHARED_VALUES).run()


def test_a_checkpoint_holds_the_weights_of_the_moment_although_training_goes_on(tmp_path) -> None:
    file, state = tmp_path / "checkpoint.pt", small_checkpoint()
    with CheckpointWriter(file) as writer:
        writer.save(state)
        state["learner"]["network"]["w"] += 1
    assert not checkpoint.load(file, tmp_path, "train")["learner"]["network"]["w"].any()


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch) -> None:
    disk, write_content = threading.Event(), CheckpointWriter._write

    def write_slowly(self: CheckpointWriter, content: io.BytesIO) -> None:
        assert disk.wait(60), "the training waits for the disk"
        write_content(self, content)

    monkeypatch.setattr(CheckpointWriter, "_write", write_slowly)
    file = tmp_path / "checkpoint.pt"
    with CheckpointWriter(file) as writer:
        writer.save(small_checkpoint())
        assert not file.exists()
        disk.set()
    assert file.exists(), "the end waits for it"


def test_a_checkpoint_that_cannot_be_written_ends_the_training(tmp_path) -> None:
    writer = CheckpointWriter(tmp_path)  # a folder is in its place
    writer.save(small_checkpoint())
    with pytest.raises(OSError, match=str(tmp_path)):
        writer.save(small_checkpoint())
    with writer:
        pass  # the error was reported already
