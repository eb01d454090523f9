"""A shard's images become its table: read ahead in threads, grouped by size, predicted, measured beside the networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC

import numpy as np
import pyarrow.parquet as pq
from pyarrow import fs

from severstal.data import strips
from severstal.engines.base import BATCH_SIZE
from severstal.engines.outputs import Outputs
from severstal.errors import InputError
from severstal.inference.lake.rows import ImageFile, Row, rows_of, to_parquet
from severstal.inference.lake.storage import Location, naming
from severstal.inference.prediction import ahead
from severstal.inference.predictor import Predictor

READERS = 8  # objects that a worker reads at a time: an object store takes some 50 ms to answer
WAITING_PIXELS = 2**25  # of decoded images that wait for others of their size; then incomplete batches are predicted
MAX_BYTES = 2**28  # of an object
MAX_PIXELS = 2**24  # of an image, 41 strips of the competition; a network takes some 400 bytes for each
METADATA = b"severstal"  # key of a shard's counts in its file

Group = list[ImageFile]  # images of one size


@dataclass
class Counts:
    """What a shard, or several, hold.

    Attributes:
        images: all of them.
        damaged: those that could not be decoded.
        other_size: those of another size than the networks were trained on.
        with_class: images that show each class.
    """

    images: int = 0
    damaged: int = 0
    other_size: int = 0
    with_class: list[int] = field(default_factory=lambda: [0] * 4)

    def __iadd__(self, other: Counts) -> Counts:
        self.images += other.images
        self.damaged += other.damaged
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
            connection may come back, so such an image is not damaged.
    """
    rows: dict[str, list[Row]] = {}
    counts = Counts(images=len(images))
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(2) as measuring:

        def measure(predicted: tuple[Group, np.ndarray, Outputs, float]) -> list[tuple[ImageFile, list[Row], bool]]:
            group, batch, outputs, seconds = predicted
            other_size = batch.shape[1:] != (predictor.height, predictor.width)
            predictions = predictor.post_process(batch, outputs, seconds)
            return [
                (image, rows_of(image, prediction, version), other_size)
                for image, prediction in zip(group, predictions, strict=True)
            ]

        def predict() -> Iterator[tuple[Group, np.ndarray, Outputs, float]]:
            for group in grouped(read_undamaged()):
                batch = np.stack([image.strip for image in group if image.strip is not None])
                yield group, batch, *predictor.probabilities(batch)

        def read_undamaged() -> Iterator[ImageFile]:
            for image in ahead(readers, read_image, images, count=2 * READERS):
                if image.strip is None:
                    rows[image.path] = rows_of(image, None, version)
                    counts.damaged += 1
                else:
                    yield image

        for measured in ahead(measuring, measure, predict()):
            for image, of_image, other_size in measured:
                rows[image.path] = of_image
                counts.other_size += other_size
                for row in of_image:
                    if row.get("class"):
                        counts.with_class[row["class"] - 1] += 1
    ordered = [row for image in images for row in rows[image]]
    return to_parquet(ordered, counts.as_metadata()), counts


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
        strip = strips.decode(content, path)
    except InputError as error:
        return ImageFile(path, modified, reason=str(error))
    if strip.size > MAX_PIXELS:
        height, width = strip.shape
        reason = f"{path} has {height}x{width} pixels, more than {MAX_PIXELS:,}: cut it into strips"
        return ImageFile(path, modified, reason=reason)
    return ImageFile(path, modified, strip)


def grouped(images: Iterator[ImageFile]) -> Iterator[Group]:
    """Groups of images of one size, each as large as a batch where enough images of its size come.

    Images of one size come in their order, so a shard without others has the batches of ``submission.csv``.
    """
    waiting: dict[tuple[int, ...], Group] = {}
    pixels = 0
    for image in images:
        if image.strip is None:
            raise ValueError(f"{image.path} is damaged")
        group = waiting.setdefault(image.strip.shape, [])
        group.append(image)
        pixels += image.strip.size
        if len(group) == BATCH_SIZE or len(group) * image.strip.size > MAX_PIXELS // 2:
            pixels -= len(group) * image.strip.size
            yield waiting.pop(image.strip.shape)
        elif pixels > WAITING_PIXELS:
            yield from waiting.values()
            waiting, pixels = {}, 0
    yield from waiting.values()
