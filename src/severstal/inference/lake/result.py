"""A result as others read it: the defects of one image, by its path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from severstal.data.labels import CLASSES, masks
from severstal.errors import InputError
from severstal.inference.lake.output import Output
from severstal.inference.lake.shards import read_image
from severstal.inference.lake.storage import Location, naming
from severstal.inference.strip_prediction import StoredDefects


@dataclass(frozen=True)
class Result:
    """A result in a folder or under a prefix."""

    output: Output

    @classmethod
    def at(cls, text: str) -> Result:
        """The result that a user names.

        Raises:
            InputError: if there is none.
        """
        output = Output(Location.parse(text))
        if not output.ensemble.exists():
            raise InputError(f"{text} holds no result: make one with `bash bin/predict_lake.sh SOURCE --output {text}`")
        return cls(output)

    def rows(self, image: str) -> list[dict[str, Any]]:
        """The rows of an image; only files whose range of paths covers it are read.

        Args:
            image: its path or location.

        Raises:
            InputError: if no finished shard holds it.
        """
        path = str(Location.parse(image))
        files = [self.output.shard(number) for number in sorted(self.output.finished())]
        with naming(self.output.folder):
            dataset = ds.dataset(
                [file.path for file in files], filesystem=self.output.folder.filesystem, format="parquet"
            )
            rows: list[dict[str, Any]] = dataset.to_table(filter=ds.field("path") == path).to_pylist()
        if not rows:
            raise InputError(
                f"{self.output.folder} has no row of {path}: it was not predicted yet, or has another name"
            )
        return rows

    def defects(self, image: str) -> StoredDefects:
        """The image, read from where it is, with the masks of the result.

        Raises:
            InputError: if the result has no row of it, or the image is corrupt or has changed its size.
        """
        rows = self.rows(image)
        found = read_image(rows[0]["path"])
        if found.strip is None:
            raise InputError(found.reason or f"{image} is corrupt")
        height, width = found.strip.shape
        if rows[0]["width"] is not None and (height, width) != (rows[0]["height"], rows[0]["width"]):
            raise InputError(f"{image} has another size than when it was predicted: it was replaced meanwhile")
        by_class = {row["class"]: row for row in rows if row["class"]}
        codes = {defect: row["rle"] for defect, row in by_class.items()}
        confidences = [by_class[defect]["mean_probability"] if defect in by_class else 0.0 for defect in CLASSES]
        return StoredDefects(found.strip, masks(codes, height, width), np.array(confidences))
