"""The images of a source: a folder or prefix with everything below it, or a text or Parquet file that lists them."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from severstal.data import strips
from severstal.errors import InputError
from severstal.inference.lake.storage import LOCAL, Location, naming, walk

PARQUET = ".parquet"
COLUMN = "path"  # of a Parquet list

logger = logging.getLogger(__name__)


def images_of(source: Location) -> Iterator[str]:
    """Locations of the source's images as text, in a fixed order; a list may name an image twice.

    A folder's files count as images by their suffix; what a list names is taken as it is.

    Raises:
        InputError: if the source is missing or cannot be read, or a list holds no paths.
    """
    kind = source.info().type
    if kind == fs.FileType.NotFound:
        raise InputError(f"{source} is missing: name a folder of images, or a text or Parquet file that lists them")
    if kind == fs.FileType.Directory:
        yield from _in_folder(source)
    else:
        parent = Path(source.path).parent if source.scheme == LOCAL else None
        paths = _in_parquet(source) if source.path.endswith(PARQUET) else _in_text(source)
        yield from (str(Location.parse(path, parent)) for path in paths)


def _in_folder(folder: Location) -> Iterator[str]:
    others = 0
    for path in walk(folder):
        if path.lower().endswith(strips.SUFFIXES):
            yield str(Location(folder.scheme, path))
        else:
            others += 1
    if others:
        logger.info("%s: %d files without the suffix of an image are left out; a list can name them", folder, others)


def _in_text(source: Location) -> Iterator[str]:
    """The lines of a text file; empty ones and comments, which start with #, are left out."""
    with naming(source), source.filesystem.open_input_stream(source.path) as stream:
        for number, line in enumerate(io.BufferedReader(stream), start=1):
            try:
                text = line.decode("utf-8").strip()
            except UnicodeDecodeError:
                raise InputError(
                    f"{source}, line {number} is no text: name a folder, a text file with a path in each line, or a "
                    f"file *{PARQUET} with a column {COLUMN!r}"
                ) from None
            if text and not text.startswith("#"):
                yield text


def _in_parquet(source: Location) -> Iterator[str]:
    try:
        with naming(source), source.filesystem.open_input_file(source.path) as file:
            table = pq.ParquetFile(file)
            if COLUMN not in table.schema_arrow.names:
                raise InputError(f"{source} has no column {COLUMN!r}: name the column of the images' paths so")
            for batch in table.iter_batches(columns=[COLUMN]):
                yield from (path for path in batch.column(0).to_pylist() if path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source} is no Parquet file ({error}): write it again") from None
