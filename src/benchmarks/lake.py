"""Time prediction over a lake against bin/predict.sh, and what Ray, the storage and Parquet cost per image.

Takes a trained, tuned and exported experiment and its test strips, over and over under other names. bin/predict.sh,
bin/predict_lake.sh with one worker, and with two, take turns; each network computes with one thread. A run's speed is
that of its images after each worker's first shard: starting Ray and loading networks is a cost per run, printed apart.
``--only-memory-of N`` predicts N small images and prints the peak memory of the driver and of its worker.

    .venv/bin/python src/benchmarks/lake.py --folds folds/mill --input mill
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq

from benchmarks.timing import timed
from severstal.commands import folder_options
from severstal.console import parser as stage_parser
from severstal.console import paths_of
from severstal.data import strips
from severstal.errors import run_stage
from severstal.hardware import processor
from severstal.inference.lake.rows import SCHEMA, to_parquet
from severstal.inference.lake.shards import predict_shard, read_image
from severstal.inference.predictor import Predictor
from severstal.paths import ROOT, Paths

SHARD = 24  # images
SMALL = (64, 96)  # size of the images whose memory is measured
ENGINE = "openvino"


def main() -> None:
    arguments = stage_parser(__doc__)
    arguments.add_argument("--images", type=int, default=144, help=f"per run, a multiple of {SHARD}; default 144")
    arguments.add_argument("--rounds", type=int, default=3, help="in which the contestants take turns; default 3")
    arguments.add_argument("--only-memory-of", type=int, metavar="N", help="measure the memory of N small images")
    options = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    paths = paths_of(options)
    print(f"{processor()}, {os.cpu_count()} cores, engine {ENGINE}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only_memory_of:
            measure_memory(paths, folder, options)
        else:
            measure_speed(paths, folder, options.images, options.rounds)


def measure_speed(paths: Paths, folder: Path, count: int, rounds: int) -> None:
    write_lake(paths, folder / "lake", count)
    speeds: dict[int, list[float]] = {0: [], 1: [], 2: []}  # images/s by number of workers; 0 is bin/predict.sh
    for number in range(rounds):
        speeds[0].append(predict(paths, folder, number))
        for workers in (1, 2):
            output = folder / f"result{workers}-{number}"
            seconds = timed(predict_lake, paths, folder / "lake", output, workers)
            speeds[workers].append(steady_speed(output, workers))
            print(f"{workers} workers: {seconds - count / speeds[workers][-1]:.0f} s beside prediction", flush=True)
    print(f"{rounds} rounds of {count} images: median and range\n\n| | images/s | ratio |\n|---|---|---|")
    print(row("`bin/predict.sh`", speeds[0]))
    print(row("one worker", speeds[1], speeds[0]), "of `bin/predict.sh` |")
    print(row("two workers", speeds[2], speeds[1]), "of one worker |", flush=True)
    overheads(paths, folder, statistics.median(speeds[1]))


def write_lake(paths: Paths, lake: Path, count: int) -> None:
    """Write ``count`` images: the test strips, over and over."""
    source = [paths.test_images / name for name in strips.listing(paths.test_images)]
    lake.mkdir()
    for number in range(count):
        image = source[number % len(source)]
        (lake / f"{number:06d}{image.suffix}").write_bytes(image.read_bytes())


def row(name: str, speeds: list[float], reference: list[float] | None = None) -> str:
    """A row of the table: images/s and, within each round, their ratio to a reference."""
    if reference is None:
        return f"| {name} | {spread(speeds)} | |"
    ratios = [speed / other for speed, other in zip(speeds, reference, strict=True)]
    return f"| {name} | {spread(speeds)} | {spread(ratios, 3)}"


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def predict(paths: Paths, folder: Path, number: int) -> float:
    """Images per second of bin/predict.sh in a round, without loading the networks."""
    written = Paths(paths.input, paths.folds, folder / f"masks{number}")  # in the same folder it would be cached
    command = [sys.executable, str(ROOT / "src" / "predict.py"), *folder_options(written)]
    subprocess.run(
        [*command, "--images", str(folder / "lake"), "--engine", ENGINE], check=True, stdout=subprocess.DEVNULL
    )
    return float(json.loads(written.submission_report.read_text(encoding="utf-8"))["strips_per_second"])


def predict_lake(paths: Paths, lake: Path, output: Path, workers: int, size: int = SHARD) -> None:
    command = [sys.executable, str(ROOT / "src" / "predict_lake.py"), str(lake), "--output", str(output)]
    command += ["--engine", ENGINE, "--workers", str(workers), "--shard-size", str(size), *folder_options(paths)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def steady_speed(output: Path, workers: int) -> float:
    """Images per second from when each worker has ended its first shard to the end of the last shard.

    Counted from the first end of all, the other workers' first shards would count as done in no time.
    """
    ends = sorted(file.stat().st_mtime for file in output.glob("shard-*.parquet"))
    return SHARD * (len(ends) - workers) / (ends[-1] - ends[workers - 1])


def overheads(paths: Paths, folder: Path, on_ray: float) -> None:
    """Milliseconds per image of Ray, of reading an object beside reading a file, and of writing a table.

    Args:
        on_ray: images/s of one worker.
    """
    images = sorted((folder / "lake").iterdir())
    predictor = Predictor(paths.folds, ENGINE)
    shards = [list(map(str, images[start : start + SHARD])) for start in range(0, len(images), SHARD)]
    predict_shard(predictor, shards[0], "version")  # a runtime's first call is slow
    alone = timed(lambda: [predict_shard(predictor, shard, "version") for shard in shards]) / len(images)
    read = timed(lambda: [read_image(str(image)) for image in images])
    decode = timed(lambda: [strips.read(image) for image in images])
    rows = pq.read_table(folder / "result1-0" / "shard-00000000.parquet", schema=SCHEMA).to_pylist()
    write = timed(to_parquet, rows * 64, {})
    count = 64 * len({row["path"] for row in rows})
    print(
        f"per image: Ray {1e3 * (1 / on_ray - alone):.2f} ms beside the {1e3 * alone:.2f} ms of the same shards of "
        f"{SHARD} without it; storage {1e3 * (read - decode) / len(images):.2f} ms beside reading and decoding a file; "
        f"Parquet {1e3 * write / count:.3f} ms",
        flush=True,
    )


def measure_memory(paths: Paths, folder: Path, options: argparse.Namespace) -> None:
    (folder / "lake").mkdir()
    content = cv2.imencode(".jpg", np.random.default_rng(0).integers(40, 220, SMALL, dtype=np.uint8))[1].tobytes()
    for number in range(options.only_memory_of):
        (folder / "lake" / f"{number:07d}.jpg").write_bytes(content)
    command = [sys.executable, str(ROOT / "src" / "predict_lake.py"), str(folder / "lake"), "--output"]
    command += [str(folder / "result"), "--engine", ENGINE, "--workers", "1", *folder_options(paths)]
    driver_peak = worker_peak = 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            driver, workers = memory(process.pid)
            driver_peak, worker_peak = max(driver_peak, driver), max(worker_peak, workers)
            time.sleep(0.25)
    print(
        f"{options.only_memory_of} images: driver {driver_peak >> 20} MiB, worker {worker_peak >> 20} MiB", flush=True
    )


def memory(pid: int) -> tuple[int, int]:
    """Resident bytes of the driver, and of the largest of Ray's workers."""
    try:
        driver = psutil.Process(pid).memory_info().rss
        below = psutil.Process(pid).children(recursive=True)
        sizes = [child.memory_info().rss for child in below if "ray::" in " ".join(child.cmdline())]
    except psutil.Error:  # a process that has ended meanwhile
        return 0, 0
    return driver, max(sizes, default=0)


if __name__ == "__main__":
    run_stage(main)
