"""Run all stages on a data set of the competition's size, and print time, CPU time, peak memory and disk of each.

Makes 12,568 training and 5,506 test strips (Severstal's numbers) from some hundreds of synthetic ones, shifted along
the strip and flipped; then splits, trains one small network per fold for a few steps, tunes, exports and predicts.
Networks with so little training are worth nothing: the table shows whether a stage fits this machine. ``--train`` and
``--test`` take smaller numbers: CPU time, which other work on the machine hardly changes, shows how a stage grows.

    .venv/bin/python src/benchmarks/competition_size.py /big/disk/competition-size
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil

from severstal.artifacts import write_text
from severstal.commands import folder_options
from severstal.console import duration
from severstal.data import rle, strips
from severstal.data.labels import read_labels
from severstal.errors import run_stage
from severstal.hardware import processor
from severstal.paths import ROOT, Paths
from severstal.synthetic import dataset

TRAIN, TEST = 12_568, 5_506
ENCODER, FOLDS = "tu-mobilenetv4_conv_small", 2
DRAWN_TRAIN, DRAWN_TEST = 400, 50  # synthetic strips that the others are made from
RECIPE = ["--recipe", "sample", "--encoders", ENCODER, "--num-folds", str(FOLDS), "--epochs", "1"]
RECIPE += ["--samples-per-epoch", "160"]
SAMPLE_SECONDS = 3  # between two looks at a stage's memory: each takes 0.1 s of a process that maps 5 GB


@dataclass(frozen=True)
class Cost:
    """What a stage took, its child processes included.

    Attributes:
        seconds: from start to end.
        cpu_seconds: of all its threads.
        memory: MiB at the peak.
        disk: MiB that it added.
    """

    seconds: float
    cpu_seconds: float
    memory: float
    disk: float


def main() -> None:
    options = parse()
    paths = Paths.under(options.folder.resolve())
    folders = folder_options(paths)
    drawn = Paths.under(options.folder.resolve() / "drawn")
    dataset.write(drawn.input, train=DRAWN_TRAIN, test=DRAWN_TEST, seed=0)
    multiply(drawn.train_images, drawn.train_csv, paths.train_images, paths.train_csv, options.train)
    multiply(drawn.test_images, drawn.test_truth, paths.test_images, paths.test_truth, options.test)
    commands = [
        ["make_folds", *RECIPE],
        *(["train", ENCODER, str(fold)] for fold in range(FOLDS)),
        ["tune"],
        ["export"],
        ["predict"],
    ]
    print(f"{options.train} training and {options.test} test strips, {processor()}, {os.cpu_count()} cores", flush=True)
    print("| stage | time | CPU | memory | disk |\n|---|---|---|---|---|", flush=True)
    for name, *arguments in commands:
        command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments, *folders]
        cost = measure(command, options.folder)
        what = " ".join(argument for argument in arguments[:2] if not argument.startswith("--"))
        row = f"{duration(cost.seconds)} | {cost.cpu_seconds:,.0f} s | {cost.memory:,.0f} MiB | {cost.disk:,.0f} MiB"
        print(f"| {name} {what} | {row} |", flush=True)


def multiply(images: Path, table: Path, target_images: Path, target_table: Path, count: int) -> None:
    """Write ``count`` strips with their labels: those of a folder, each shifted along the strip and flipped in turn."""
    names = strips.listing(images)
    height, width = strips.read(images / names[0]).shape
    labels = read_labels(table, height, width, names)
    target_images.mkdir(parents=True)
    variants = -(-count // len(names))
    lines = ["ImageId,ClassId,EncodedPixels"]
    for number in range(count):
        variant, source = divmod(number, len(names))
        axes = tuple(axis for axis in (0, 1) if variant >> axis & 1)
        moved = partial(shift, columns=width * variant // variants, axes=axes)
        name = f"{number:09x}.jpg"
        strip = moved(strips.read(images / names[source]))
        (target_images / name).write_bytes(cv2.imencode(".jpg", strip)[1].tobytes())
        for defect, code in labels[names[source]].items():
            lines.append(f"{name},{defect},{rle.encode(moved(rle.decode(code, height, width)))}")
    write_text(target_table, "\n".join(lines) + "\n")


def shift(strip: np.ndarray, columns: int, axes: tuple[int, ...]) -> np.ndarray:
    """A strip or mask ``[H, W]`` whose last columns come first, flipped along the axes."""
    return np.flip(np.roll(strip, columns, axis=1), axes)


def measure(command: list[str], folder: Path) -> Cost:
    """Run a stage; its output is printed.

    Raises:
        CalledProcessError: if the stage fails.
    """
    before, peak, began, cpu_before = disk_use(folder), 0, time.monotonic(), cpu_of_children()
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(seconds, cpu_of_children() - cpu_before, peak / 2**20, (disk_use(folder) - before) / 2**20)


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one has started and that have ended, with those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_of(pid: int) -> int:
    """Bytes of a process and those that it started; pages that they share count once (proportional set size)."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def disk_use(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the data set and all results are written: some 10 GB")
    parser.add_argument("--train", type=int, default=TRAIN, help=f"training strips; default {TRAIN}")
    parser.add_argument("--test", type=int, default=TEST, help=f"test strips; default {TEST}")
    return parser.parse_args()


if __name__ == "__main__":
    run_stage(main)
