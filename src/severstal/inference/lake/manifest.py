"""The manifest of a result: which images each shard holds. A shard, once written down, never changes.

``_manifest/<first shard>.parquet`` holds some hundred shards, one row group each. A later run adds files with the
images that no shard holds yet, so every image is in exactly one shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from severstal.inference.lake.storage import Location, naming

SHARDS_PER_FILE = 256
SCHEMA = pa.schema([("path", pa.string())])


@dataclass(frozen=True)
class Shard:
    """A shard.

    Attributes:
        number: counted over the whole result, from 0.
        file: of the manifest that lists its images.
        row_group: in that file.
        size: number of its images.
    """

    number: int
    file: Location
    row_group: int
    size: int

    def images(self) -> list[str]:
        """Locations of its images.

        Raises:
            InputError: if the manifest's file cannot be read.
        """
        with naming(self.file), self.file.filesystem.open_input_file(self.file.path) as file:
            paths: list[str] = pq.ParquetFile(file).read_row_group(self.row_group).column("path").to_pylist()
            return paths


@dataclass(frozen=True)
class Manifest:
    """The shards of a result, in a folder of its own."""

    folder: Location

    def shards(self) -> list[Shard]:
        """All shards by number."""
        found: list[Shard] = []
        for file in self._files():
            with naming(file), file.filesystem.open_input_file(file.path) as opened:
                metadata = pq.ParquetFile(opened).metadata
            first = len(found)
            found += [
                Shard(first + group, file, group, metadata.row_group(group).num_rows)
                for group in range(metadata.num_row_groups)
            ]
        return found

    def add(self, images: Iterable[str], shard_size: int) -> int:
        """Write shards with those of the images that no shard holds yet; returns their number.

        The names of all images are in memory meanwhile, about 150 bytes each.
        """
        shards_before = self.shards()
        known = {image for shard in shards_before for image in shard.images()}
        before, number = len(known), len(shards_before)
        new = _unseen(images, known)
        while shards := list(islice(iter(lambda: list(islice(new, shard_size)), []), SHARDS_PER_FILE)):
            (self.folder / f"{number:08d}.parquet").write(_parquet(shards))
            number += len(shards)
        return len(known) - before

    def _files(self) -> list[Location]:
        names = [entry.base_name for entry in self.folder.entries()]
        return [self.folder / name for name in names if name.endswith(".parquet") and not name.startswith(".")]


def _unseen(images: Iterable[str], known: set[str]) -> Iterator[str]:
    """Images that are not known, each once; they become known."""
    for image in images:
        if image not in known:
            known.add(image)
            yield image


def _parquet(shards: list[list[str]]) -> bytes:
    """A file with a row group for each shard."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
        for images in shards:
            writer.write_table(pa.table({"path": images}, schema=SCHEMA), row_group_size=len(images))
    content: bytes = sink.getvalue().to_pybytes()
    return content
