"""Small lakes of images, and runs over them without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from severstal.inference.lake.cluster import Resources
from severstal.inference.lake.manifest import Shard
from severstal.inference.lake.run import LakeRun
from severstal.inference.lake.shards import Counts
from severstal.inference.lake.worker import ShardWorker
from severstal.paths import Paths

SIZES = ((64, 96), (70, 101), (33, 200))  # that of the networks first


def write_lake(folder: Path, count: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> None:
    """Images of noise in two folders, their sizes in turn; PNG, BMP and TIFF among them. Those that exist stay."""
    for number in range(count):
        image = np.random.default_rng(number).integers(40, 220, sizes[number % len(sizes)], dtype=np.uint8)
        suffix = ("jpg", "png", "jpg", "bmp", "jpg", "tif")[number % 6]
        path = folder / f"day{number % 2}" / f"{number:04d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            cv2.imwrite(str(path), image)


class LocalRun(LakeRun):
    """A run whose one worker is this process; the cluster has tests of its own."""

    def _predict_all(self, shards: list[Shard]) -> Iterator[tuple[Counts, str]]:
        worker = ShardWorker(str(self.paths.folds), self.engine, str(self.output.folder), self.version, threads=1)
        for shard in shards:
            fields = {"number": shard.number, "file": str(shard.file), "row_group": shard.row_group, "size": shard.size}
            report = worker({name: np.array([value]) for name, value in fields.items()})
            yield Counts(**json.loads(report["counts"][0])), report["error"][0]


def run_locally(
    paths: Paths, source: object, output: object, shard_size: int = 8, engine: str = "onnxruntime"
) -> LocalRun:
    """A complete run in this process."""
    run = LocalRun.of(paths, str(source), str(output), engine, None, Resources())
    with run.output.lock():
        run.predict(run.plan(shard_size))
    return run


def read_result(folder: Path) -> pd.DataFrame:
    """All rows of a result on this machine."""
    return ds.dataset(sorted(folder.glob("shard-*.parquet"))).to_table().to_pandas()


def paths_in(file: Path) -> list[str]:
    return pq.read_table(file, columns=["path"])["path"].to_pylist()
