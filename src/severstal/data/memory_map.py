"""Decoded strips in one memory-mapped file, so that no JPEG is decoded twice in training.

A strip is 410 KB as grey bytes: the competition's training set is 5.1 GB, and what is not in memory is read faster
than a JPEG is decoded. The file is tied to the data by its name; where the disk is too small for it, strips are
decoded every time, and a line says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal.artifacts import listing_hash, replacing
from severstal.data import pseudo_labels, strips
from severstal.data.run_length_masks import Runs
from severstal.data.training_set import TrainingSet

SPARE = 2 << 30  # bytes of the disk that are left to others


class Strips:
    """The training strips, with pseudo-labels or not, and their masks, by name.

    Processes that load samples inherit the map, not the strips: the system shares the pages among them.
    """

    def __init__(self, data: TrainingSet) -> None:
        self._data, paths, size = data, data.paths, (data.height, data.width)
        labels = data.labels | (data.pseudo.labels if data.pseudo else {})
        self._runs = {image: Runs.of(codes, *size) for image, codes in labels.items()}
        self._steel: dict[str, tuple[int, int]] = {}
        self._labelled = Decoded(paths.train_images, sorted(data.labels), size, paths.strip_cache)
        if data.pseudo and data.pseudo.images:
            self._pseudo = Decoded(data.pseudo.folder, data.pseudo.images, size, paths.pseudo_cache)

    def grey(self, image: str) -> np.ndarray:
        """The strip, ``uint8 [H, W]``, not to be written to."""
        return self._labelled[image] if image in self._data.labels else self._pseudo[pseudo_labels.name_of(image)]

    def runs(self, image: str) -> Runs:
        return self._runs[image]

    def steel(self, image: str) -> tuple[int, int]:
        """First and past-the-last column of the steel."""
        if image not in self._steel:
            self._steel[image] = strips.steel_columns(self.grey(image))
        return self._steel[image]

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self._runs), self._data.height, self._data.width


class Decoded:
    """Strips of one folder: ``decoded[name]`` is ``uint8 [H, W]``.

    Args:
        size: height and width.
        path_of: gives the cache's file by a hash of the strips; files of other strips beside it are deleted.
    """

    def __init__(self, folder: Path, images: list[str], size: tuple[int, int], path_of: Callable[[str], Path]) -> None:
        self._folder, self._size = folder, size
        self._position = {image: number for number, image in enumerate(images)}
        self._map = self._open(path_of(listing_hash(folder, images)))

    def __getitem__(self, image: str) -> np.ndarray:
        if self._map is None:
            return strips.read_sized(self._folder / image, *self._size)
        return self._map[self._position[image]]

    def _open(self, path: Path) -> np.ndarray | None:
        shape = len(self._position), *self._size
        if not path.exists():
            for stale in path.parent.glob("*.grey"):
                print(f"   {stale.name} is of other data: decoding the strips anew", flush=True)
                stale.unlink()
            size = int(np.prod(shape))
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
                self._decode(np.memmap(temporary, np.uint8, "w+", shape=shape))
        return np.memmap(path, np.uint8, "r", shape=shape)

    def _decode(self, made: np.ndarray) -> None:
        def decode(image: str) -> None:
            made[self._position[image]] = strips.read_sized(self._folder / image, *self._size)

        jobs = Parallel(n_jobs=os.cpu_count(), prefer="threads", return_as="generator")(
            delayed(decode)(image) for image in self._position
        )
        for _ in tqdm(jobs, "decoding", total=len(self._position), unit="strip", leave=False, disable=None):
            pass
        made.flush()
