"""Decoded training strips in one memory-mapped file, so that training decodes every JPEG once.

A strip is 410 KB as grey bytes: the competition's training set is 5.1 GB, and reading a strip from the disk is still
faster than decoding a JPEG. The file's name holds a hash of the strips. Of several training processes one writes the
file, and the others wait for it. Where the disk is too small for it, strips are decoded every time, and a log line says
so.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal.artifacts import listing_hash, replacing
from severstal.data import pseudo_labels, strips
from severstal.data.run_length_masks import RunLengthMasks
from severstal.data.training_set import TrainingSet
from severstal.file_lock import waited_lock
from severstal.hardware import core_count

FREE = 2 << 30  # bytes of the disk that the cache leaves free
NO_MAPPING = (errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP)  # a file system whose files cannot be mapped
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a user's share of it, or a limit on files
DECODED_EVERY_TIME = "%s: strips are decoded every time, which slows training down"

logger = logging.getLogger(__name__)


class TrainingStrips:
    """The training strips, with pseudo-labelled ones where a fold has them, and their masks, by name.

    Loader processes inherit the memory map, not the strips: the operating system shares the pages among them.
    """

    def __init__(self, data: TrainingSet) -> None:
        self._data, paths, size = data, data.paths, (data.height, data.width)
        labels = data.labels | (data.pseudo.labels if data.pseudo else {})
        self._masks = {image: RunLengthMasks.parse(codes, *size) for image, codes in labels.items()}
        self._labelled = DecodedStrips(paths.train_images, sorted(data.labels), size, paths.strip_cache)
        if data.pseudo and data.pseudo.images:
            self._pseudo = DecodedStrips(data.pseudo.folder, data.pseudo.images, size, paths.pseudo_cache)

    def grey(self, image: str) -> np.ndarray:
        """The strip, ``uint8 [H, W]``, read-only."""
        return self._labelled[image] if image in self._data.labels else self._pseudo[pseudo_labels.file_name(image)]

    def masks(self, image: str) -> RunLengthMasks:
        """The strip's masks of all classes."""
        return self._masks[image]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number, height and width of the strips."""
        return len(self._masks), self._data.height, self._data.width


class DecodedStrips:
    """Strips of one folder: ``decoded[name]`` is ``uint8 [H, W]``, read-only.

    Args:
        size: height and width.
        cache_path: gives the cache file's path by a hash of the strips; cache files of other strips are deleted.

    Raises:
        InputError: naming the first strip that is corrupt or of another size.
    """

    def __init__(
        self, folder: Path, images: list[str], size: tuple[int, int], cache_path: Callable[[str], Path]
    ) -> None:
        self._folder, self._size = folder, size
        self._position = {image: number for number, image in enumerate(images)}
        path = cache_path(listing_hash(folder, images))
        self._shape = len(images), *size
        try:
            is_written = path.exists() or self._write_once(path)
            self._map = np.memmap(path, np.uint8, "r", shape=self._shape) if is_written else None
        except OSError as error:
            if error.errno not in (*NO_MAPPING, *NO_SPACE):
                raise
            self._map = None
            reason = "cannot be mapped into memory" if error.errno in NO_MAPPING else f"cannot grow ({error.strerror})"
            logger.warning(DECODED_EVERY_TIME, f"files of {path.parent} {reason}")

    def __getitem__(self, image: str) -> np.ndarray:
        if self._map is None:
            return strips.read(self._folder / image, self._size)
        return self._map[self._position[image]]

    def _write_once(self, path: Path) -> bool:
        """Decode all strips into the cache file, unless another process does meanwhile; False as :meth:`_write`."""
        with waited_lock(path.parent, path.stem):
            return path.exists() or self._write(path)

    def _write(self, path: Path) -> bool:
        """Decode all strips into the cache file; False where the disk is too small for it."""
        for stale in path.parent.glob(f"*{path.suffix}"):
            logger.info("%s holds other strips: decoding the strips again", stale.name)
            stale.unlink(missing_ok=True)  # another training of the experiment may have deleted it
        size = int(np.prod(self._shape))
        free = shutil.disk_usage(path.parent).free
        if free < size + FREE:
            needed = f"{path.parent} has {free >> 20} MB left and the decoded strips take {size >> 20} MB"
            logger.warning(DECODED_EVERY_TIME, needed)
            return False
        # On a file system without locks two trainings may both write; the later file replaces the other, its equal.
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a mapped file without its space would kill the process
            self._decode_all(np.memmap(temporary, np.uint8, "r+", shape=self._shape))
        return True

    def _decode_all(self, decoded: np.memmap) -> None:
        def decode(image: str) -> None:
            decoded[self._position[image]] = strips.read(self._folder / image, self._size)

        # Named, not preferred: on a worker of a Ray cluster, Ray's backend would be taken, which gives no generator.
        jobs = Parallel(n_jobs=core_count(), backend="threading", return_as="generator")(
            delayed(decode)(image) for image in self._position
        )
        for _ in tqdm(jobs, "decoding", total=len(self._position), unit="strip", leave=False, disable=None):
            pass
        decoded.flush()
