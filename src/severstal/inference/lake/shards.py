"""A shard's images become its table: they are read ahead, grouped by size, predicted, and measured beside the networks.

Reading and measuring run in threads, as in :mod:`severstal.inference.prediction`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC

import numpy as np
import pyarrow.parquet as pq
from pyarrow import fs

from severstal.data.images import MAX_BYTES_PER_PIXEL, decode
from severstal.data.labels import CLASSES
from severstal.engines.outputs import Outputs
from severstal.errors import InputError
from severstal.inference.lake.rows import ImageFile, Row, rows_of, to_parquet
from severstal.inference.lake.storage import Location, naming
from severstal.inference.prediction import MAX_BATCH_PIXELS, ahead, batch_size
from severstal.inference.predictor import Predictor

READERS = 8  # objects that a worker reads at a time: an object store takes some 50 ms to answer
WAITING_PIXELS = 2**25  # of decoded images that wait for others of their size; then incomplete batches are predicted
MAX_BYTES = MAX_BYTES_PER_PIXEL * MAX_BATCH_PIXELS  # of an object
METADATA = b"severstal"  # key of a shard's counts in its file

Group = list[ImageFile]  # images of one size


@dataclass
class Counts:
    """What a shard, or several, hold.

    Attributes:
        images: all of them.
        corrupt: those that could not be decoded.
        other_size: those of another size than the networks were trained on.
        with_class: images that show each class.
    """

    images: int = 0
    corrupt: int = 0
    other_size: int = 0
    with_class: list[int] = field(default_factory=lambda: [0] * len(CLASSES))

    def __iadd__(self, other: Counts) -> Counts:
        self.images += other.images
        self.corrupt += other.corrupt
        self.other_size += other.other_size
        self.with_class = [mine + theirs for mine, theirs in zip(self.with_class, other.with_class, strict=True)]
        return self

    def as_metadata(self) -> dict[bytes, bytes]:
        return {METADATA: json.dumps(asdict(self)).encode()}

    @classmethod
    def of_file(cls, file: Location) -> Counts:
        """The counts in the metadata of a shard's file.

        Raises:
            InputError: if it cannot be read.
        """
        with naming(file), file.filesystem.open_input_file(file.path) as opened:
            return cls(**json.loads(pq.ParquetFile(opened).schema_arrow.metadata[METADATA]))


def predict_shard(predictor: Predictor, images: list[str], version: str) -> tuple[bytes, Counts]:
    """The content of a shard's file, rows in the order of its images, and its counts.

    Raises:
        InputError: if the storage refuses an image for another reason than that it is not there: a permission or a
            connection may come back, so such an image is not corrupt.
    """
    table = _Table(predictor, version)
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(2) as measuring:
        read = ahead(readers, read_image, images, count=2 * READERS)
        predicted = (
            (group, batch, *predictor.probabilities(batch)) for group, batch in grouped(table.without_corrupt(read))
        )
        for rows in ahead(measuring, table.measure, predicted):
            table.rows |= rows
    counts = table.counts(images)
    return to_parquet([row for image in images for row in table.rows[image]], counts.as_metadata()), counts


@dataclass
class _Table:
    """The rows of a shard, by image, while it is predicted."""

    predictor: Predictor
    version: str
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def without_corrupt(self, images: Iterator[ImageFile]) -> Iterator[ImageFile]:
        """The images that could be decoded; the rows of the others are added."""
        for image in images:
            if image.strip is None:
                self.rows[image.path] = rows_of(image, None, self.version)
            else:
                yield image

    def measure(self, predicted: tuple[Group, np.ndarray, Outputs, float]) -> dict[str, list[Row]]:
        """The rows of a batch."""
        group, batch, outputs, seconds = predicted
        predictions = self.predictor.post_process(batch, outputs, seconds)
        return {
            image.path: rows_of(image, prediction, self.version)
            for image, prediction in zip(group, predictions, strict=True)
        }

    def counts(self, images: list[str]) -> Counts:
        size, counts = (self.predictor.height, self.predictor.width), Counts()
        for image in images:
            first = self.rows[image][0]
            counts.images += 1
            counts.corrupt += first["corrupt"]
            counts.other_size += not first["corrupt"] and (first["height"], first["width"]) != size
            for row in self.rows[image]:
                if "class" in row:
                    counts.with_class[row["class"] - 1] += 1
        return counts


def read_image(path: str) -> ImageFile:
    """Read and decode an image.

    Raises:
        InputError: if the storage refuses it although it is there.
    """
    location = Location.parse(path)
    info = location.info()
    if info.type != fs.FileType.File:
        return ImageFile(path, reason=f"{path} is missing")
    modified = info.mtime.astimezone(UTC) if info.mtime else None
    if info.size > MAX_BYTES:
        reason = f"{path} has {info.size:,} bytes, more than the {MAX_BYTES:,} of an image: is it one?"
        return ImageFile(path, modified, reason=reason)
    content = location.read()
    try:
        strip = decode(content, path)
    except InputError as error:
        return ImageFile(path, modified, reason=str(error))
    if strip.size > MAX_BATCH_PIXELS:
        height, width = strip.shape
        reason = f"{path} has {height}x{width} pixels, more than {MAX_BATCH_PIXELS:,}: cut it into strips"
        return ImageFile(path, modified, reason=reason)
    return ImageFile(path, modified, strip)


def grouped(images: Iterator[ImageFile]) -> Iterator[tuple[Group, np.ndarray]]:
    """Groups of images of one size with their strips ``uint8 [N, H, W]``; full batches where enough of a size come.

    Images of one size come in their order, so a shard without others has the batches of ``submission.csv``.
    """
    waiting: dict[tuple[int, ...], Group] = {}
    pixels = 0
    for image in images:
        strip = _strip_of(image)
        group = waiting.setdefault(strip.shape, [])
        group.append(image)
        pixels += strip.size
        if len(group) == batch_size(*strip.shape):
            pixels -= len(group) * strip.size
            yield _stacked(waiting.pop(strip.shape))
        elif pixels > WAITING_PIXELS:
            yield from map(_stacked, waiting.values())
            waiting, pixels = {}, 0
    yield from map(_stacked, waiting.values())


def _stacked(group: Group) -> tuple[Group, np.ndarray]:
    return group, np.stack([_strip_of(image) for image in group])


def _strip_of(image: ImageFile) -> np.ndarray:
    if image.strip is None:
        raise ValueError(f"{image.path} is corrupt: such images are not predicted")
    return image.strip
