"""Decoded strips in one memory-mapped file, so that no JPEG is decoded twice in training.

A strip is 410 KB as grey bytes: the competition's training set is 5.1 GB, and what is not in memory is read faster
than a JPEG is decoded. The file is tied to the data by its name; where the disk is too small for it, strips are
decoded every time, and a line says so.
"""

from __future__ import annotations

import os
import shutil

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal import strips
from severstal.artifacts import listing_hash, replacing
from severstal.data import TrainingSet
from severstal.runs import Runs

SPARE = 2 << 30  # bytes of the disk that are left to others


class Strips:
    """The training strips and their masks, by name.

    Processes that load samples inherit the map, not the strips: the system shares the pages among them.
    """

    def __init__(self, data: TrainingSet) -> None:
        self._data = data
        self._position = {image: number for number, image in enumerate(sorted(data.labels))}
        self._runs = {image: Runs.of(codes, data.height, data.width) for image, codes in data.labels.items()}
        self._steel: dict[str, tuple[int, int]] = {}
        self._map = self._open()

    def grey(self, image: str) -> np.ndarray:
        """The strip, ``uint8 [H, W]``, not to be written to."""
        if self._map is None:
            data = self._data
            return strips.read_sized(data.paths.train_images / image, data.height, data.width)
        return self._map[self._position[image]]

    def runs(self, image: str) -> Runs:
        return self._runs[image]

    def steel(self, image: str) -> tuple[int, int]:
        """First and past-the-last column of the steel."""
        if image not in self._steel:
            self._steel[image] = strips.steel_columns(self.grey(image))
        return self._steel[image]

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self._position), self._data.height, self._data.width

    def _open(self) -> np.ndarray | None:
        data = self._data
        path = data.paths.strip_cache(listing_hash(data.paths.train_images, list(self._position)))
        if not path.exists():
            for stale in path.parent.glob("*.grey"):
                print(f"   {stale.name} is of other data: decoding the strips anew", flush=True)
                stale.unlink()
            size = int(np.prod(self.shape))
            path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(path.parent).free
            if free < size + SPARE:
                print(
                    f"   {path.parent} has {free >> 20} MB left and the decoded strips take {size >> 20} MB: they are "
                    "decoded every time, which slows training down",
                    flush=True,
                )
                return None
            # Two trainings that start at once both write; the last to finish replaces the other's equal file.
            with replacing(path) as temporary:
                self._decode(np.memmap(temporary, np.uint8, "w+", shape=self.shape))
        return np.memmap(path, np.uint8, "r", shape=self.shape)

    def _decode(self, made: np.ndarray) -> None:
        data = self._data

        def decode(image: str) -> None:
            made[self._position[image]] = strips.read_sized(data.paths.train_images / image, data.height, data.width)

        jobs = Parallel(n_jobs=os.cpu_count(), prefer="threads", return_as="generator")(
            delayed(decode)(image) for image in self._position
        )
        for _ in tqdm(jobs, "decoding", total=len(self._position), unit="strip", leave=False, disable=None):
            pass
        made.flush()
