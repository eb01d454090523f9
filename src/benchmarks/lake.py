"""Time prediction over a lake against bin/predict.sh, and what Ray, the storage and Parquet cost per image.

Takes a trained, tuned and exported experiment and its test strips, over and over under other names. Every contestant
computes with one thread per network. The speed of a run on Ray is that between the ends of its first and last shards:
starting Ray and loading networks is a cost per run, printed apart. ``--only-memory-of N`` predicts N small images and
prints the peak memory of the driver and of its worker.

    .venv/bin/python src/benchmarks/lake.py --folds folds/mill --input mill
"""

from __future__ import annotations

import argparse
import json
import os
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
from severstal.inference.lake.shards import read_image
from severstal.paths import ROOT, Paths

SHARD = 16  # images
SMALL = (64, 96)  # size of the images whose memory is measured
ENGINE = "openvino"


def main() -> None:
    arguments = stage_parser(__doc__)
    arguments.add_argument("--images", type=int, default=128, help="per run; default 128")
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
            measure_speed(paths, folder, options.images)


def measure_speed(paths: Paths, folder: Path, count: int) -> None:
    source = [paths.test_images / name for name in strips.listing(paths.test_images)]
    (folder / "lake").mkdir()
    for number in range(count):
        image = source[number % len(source)]
        (folder / "lake" / f"{number:06d}{image.suffix}").write_bytes(image.read_bytes())
    baseline = predict(paths, folder)
    print(f"bin/predict.sh: {baseline:.2f} images/s", flush=True)
    speeds = {}
    for workers in (1, 2):
        output = folder / f"result{workers}"
        seconds = timed(predict_lake, paths, folder / "lake", output, workers)
        speeds[workers] = steady_speed(output)
        print(
            f"{workers} workers: {speeds[workers]:.2f} images/s, {speeds[workers] / baseline:.3f} x bin/predict.sh, "
            f"{speeds[workers] / speeds[1]:.3f} x one worker; the whole run {seconds:.0f} s",
            flush=True,
        )
    overheads(folder)


def predict(paths: Paths, folder: Path) -> float:
    """Images per second of bin/predict.sh, without loading the networks."""
    written = Paths(paths.input, paths.folds, folder / "masks")
    command = [sys.executable, str(ROOT / "src" / "predict.py"), *folder_options(written)]
    subprocess.run(
        [*command, "--images", str(folder / "lake"), "--engine", ENGINE], check=True, stdout=subprocess.DEVNULL
    )
    return float(json.loads(written.submission_report.read_text(encoding="utf-8"))["strips_per_second"])


def predict_lake(paths: Paths, lake: Path, output: Path, workers: int, size: int = SHARD) -> None:
    command = [sys.executable, str(ROOT / "src" / "predict_lake.py"), str(lake), "--output", str(output)]
    command += ["--engine", ENGINE, "--workers", str(workers), "--shard-size", str(size), *folder_options(paths)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def steady_speed(output: Path) -> float:
    """Images per second between the end of the first shard and that of the last."""
    ends = sorted(file.stat().st_mtime for file in output.glob("shard-*.parquet"))
    return SHARD * (len(ends) - 1) / (ends[-1] - ends[0])


def overheads(folder: Path) -> None:
    """Milliseconds per image of reading an object, decoding included and alone, and of writing a table."""
    images = sorted((folder / "lake").iterdir())
    read = timed(lambda: [read_image(str(image)) for image in images])
    decode = timed(lambda: [strips.read(image) for image in images])
    rows = pq.read_table(folder / "result1" / "shard-00000000.parquet", schema=SCHEMA).to_pylist()
    write = timed(to_parquet, rows * 64, {})
    count = 64 * len({row["path"] for row in rows})
    print(
        f"per image: storage {1e3 * (read - decode) / len(images):.2f} ms beside reading and decoding a file, "
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
