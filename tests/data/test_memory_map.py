"""The memory map of decoded strips, against decoding every JPEG again."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from severstal import file_lock, recipe
from severstal.data import strips
from severstal.data.labels import masks
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import read_training_set
from severstal.training.crops import CropDataset, StripDataset
from severstal.training.sampling import ClassSampler


def test_cached_strips_equal_the_decoded_ones(tiny) -> None:
    data = read_training_set(tiny)
    for _ in ("decoded", "found"):
        source = TrainingStrips(data)
        for image in data.labels:
            strip = strips.read(tiny.train_images / image)
            assert np.array_equal(source.grey(image), strip)
    whole = StripDataset(source, list(data.labels))
    for number, image in enumerate(whole.images):
        bits = whole[number][1].numpy()
        truth = masks(data.labels[image], data.height, data.width)
        assert np.array_equal(np.stack([bits >> c & 1 for c in range(4)]).astype(bool), truth)


def test_no_jpeg_is_decoded_twice_until_the_strips_change(tiny, monkeypatch) -> None:
    TrainingStrips(read_training_set(tiny))
    (cached,) = (tiny.folds / "cache").glob("*.grey")
    read, seen = strips.read, []

    def recording_read(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
        if size:  # without a size, the training set looks for the one that its strips have
            seen.append(path.name)
        return read(path, size)

    monkeypatch.setattr(strips, "read", recording_read)
    source = TrainingStrips(read_training_set(tiny))
    chosen = recipe.read(tiny)
    crops = CropDataset(source, chosen)
    for draw in ClassSampler(read_training_set(tiny), sorted(source._data.labels), chosen):
        crops[draw]
    assert not seen
    other = np.zeros((64, 96), dtype=np.uint8)
    cv2.imwrite(str(tiny.train_images / "000000003.jpg"), other)
    assert TrainingStrips(read_training_set(tiny)).grey("000000003.jpg").max() < 9
    assert len(seen) == 12
    assert not cached.exists(), "strips of other data are not kept"


def test_of_trainings_that_start_together_one_decodes_the_strips(tiny, monkeypatch) -> None:
    data, waits, read, decoded = read_training_set(tiny), threading.Event(), strips.read, []

    def recording_read(path: Path, size: tuple[int, int]) -> np.ndarray:
        assert waits.wait(60), "the other training does not wait"
        decoded.append(path.name)
        return read(path, size)

    monkeypatch.setattr(strips, "read", recording_read)
    monkeypatch.setattr(file_lock.logger, "info", lambda *_: waits.set())
    with ThreadPoolExecutor(2) as trainings:
        first, second = trainings.map(TrainingStrips, [data, data])
    assert sorted(decoded) == sorted(data.labels)
    assert all(np.array_equal(first.grey(image), second.grey(image)) for image in data.labels)


def test_on_a_full_disk_strips_are_decoded_every_time_and_the_log_says_so(tiny, monkeypatch, caplog) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 1 << 20))
    data = read_training_set(tiny)
    source = TrainingStrips(data)
    assert "decoded every time" in caplog.text
    image = next(iter(data.labels))
    assert np.array_equal(source.grey(image), strips.read(tiny.train_images / image))
    assert not list((tiny.folds / "cache").glob("*"))


@pytest.mark.parametrize(
    ("module", "function", "code", "message"),
    [
        # The disk has space, so only the write tells; written through a map it would end the process with SIGBUS.
        pytest.param(os, "posix_fallocate", errno.EDQUOT, "cannot grow (Disk quota exceeded)", id="a quota"),
        pytest.param(np, "memmap", errno.ENODEV, "cannot be mapped into memory", id="no mapping"),
    ],
)
def test_where_the_cache_cannot_be_kept_strips_are_decoded_every_time(
    tiny, monkeypatch, caplog, module, function, code, message
) -> None:
    def refuse(*_: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, function, refuse)
    data = read_training_set(tiny)
    source = TrainingStrips(data)
    assert f"{message}: strips are decoded every time" in caplog.text
    image = next(iter(data.labels))
    assert np.array_equal(source.grey(image), strips.read(tiny.train_images / image))
    assert not list((tiny.folds / "cache").iterdir())
