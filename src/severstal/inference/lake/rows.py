"""The table of a result: a row per image and class that occurs on it; every other image has a row without a class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from severstal.data import rle
from severstal.inference.strip_prediction import StripPrediction

SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # location of the image
        ("modified", pa.timestamp("us", tz="UTC")),  # of the image, as the storage says
        ("class", pa.int8()),  # 1 to 4; null: no defect was found, or the image is corrupt
        ("rle", pa.string()),  # the mask as in submission.csv
        ("width", pa.int32()),  # of the image in pixels; null if it is corrupt
        ("height", pa.int32()),
        ("mean_grey", pa.float32()),  # of the image, 0 to 255
        ("area_px", pa.int64()),  # of the mask
        ("area_share", pa.float64()),  # of the image, 0 to 1
        ("components", pa.int32()),  # connected, with 8 neighbours
        ("box_left", pa.int32()),  # bounding box of the mask
        ("box_top", pa.int32()),
        ("box_width", pa.int32()),
        ("box_height", pa.int32()),
        ("mean_probability", pa.float32()),  # inside the mask, 0 to 1
        ("corrupt", pa.bool_()),
        ("reason", pa.string()),  # why it counts as corrupt
        ("ensemble", pa.string()),  # version that predicted it
    ]
)

Row = dict[str, Any]


@dataclass(frozen=True)
class ImageFile:
    """An image of a shard as it was read.

    Attributes:
        path: its location.
        modified: when, as the storage says; None where it does not.
        strip: ``uint8 [H, W]``; None if it is corrupt.
        reason: why it counts as corrupt.
    """

    path: str
    modified: datetime | None = None
    strip: np.ndarray | None = None
    reason: str | None = None


def rows_of(image: ImageFile, prediction: StripPrediction | None, version: str) -> list[Row]:
    """The rows of an image.

    Args:
        prediction: None for a corrupt image.
        version: of the ensemble.
    """
    row: Row = {
        "path": image.path,
        "modified": image.modified,
        "corrupt": prediction is None,
        "reason": image.reason,
        "ensemble": version,
    }
    if prediction is None:
        return [row]
    height, width = prediction.strip.shape
    row |= {"width": width, "height": height, "mean_grey": float(prediction.strip.mean())}
    return [row | _defect(prediction, defect) for defect in prediction.classes] or [row]


def _defect(prediction: StripPrediction, defect: int) -> Row:
    """What the row of a class adds to that of its image."""
    mask, area = prediction.masks[defect - 1], int(prediction.areas[defect - 1])
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return {
        "class": defect,
        "rle": rle.encode(mask),
        "area_px": area,
        "area_share": area / mask.size,
        "components": int(prediction.defect_counts[defect - 1]),
        "box_left": left,
        "box_top": top,
        "box_width": width,
        "box_height": height,
        "mean_probability": float(prediction.confidences[defect - 1]),
    }


def to_parquet(rows: list[Row], counts: dict[bytes, bytes]) -> bytes:
    """The content of a Parquet file.

    Args:
        counts: kept in the file's metadata, to be read without its rows.
    """
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(counts))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
