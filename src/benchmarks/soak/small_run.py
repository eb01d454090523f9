"""A small experiment of which every stage takes seconds: its commands, and the files that it must end with.

The reference is a run that nothing disturbed. The folders before each of its stages are kept, so that an attempt starts
at any stage. All attempts work in one folder, because some records hold paths.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from severstal.data import rle
from severstal.data.labels import CLASSES
from severstal.paths import ROOT, Paths

HEIGHT, WIDTH = 64, 96
TRAIN_STRIPS, TEST_STRIPS = 12, 4
RECIPE = (
    "--recipe sample --encoders tu-resnet10t --num-folds 2 --epochs 3 --samples-per-epoch 16 --batch-size 4 "
    "--crop-height 64 --crop-width 64 --downscale 1 --decoder-stride 1 --decoder-channels 16,16,8,8,8 "
    "--num-workers 1"
)
ENGINE = "--engine onnxruntime"
STAGES = {
    "make_input": "--input=RUN/synthetic --train 4 --test 2",
    "make_folds": RECIPE,
    "train": "--jobs 2",
    "tune": "",
    "export": ENGINE,
    "predict": ENGINE,
    "pseudo": ENGINE,
    "inspect_strips": f"RUN/input/test_images {ENGINE}",
    "report": "",
    "package_kaggle": "--no-wheels",
}
MARK = "SEVERSTAL_SOAK"  # environment of every process of an attempt
# Keys of JSON files: what the clock decides, and hashes of files that hold such; the files themselves are compared.
TIMED = re.compile(r"created|seconds|loading_share|strips_per_second|finished|times|took|cached_from")
NOT_COMPARED = ("tensorboard", "report.html", "times.json", "__pycache__", "kaggle/dataset/code")
LITTER = re.compile(r"^\.")
ENDING_SECONDS = 20.0  # within which all processes of a killed stage have to be gone
MIN_HANG_SECONDS, HANG_FACTOR = 300.0, 20  # a stage that takes longer, and as many times as long as undisturbed, hangs


class Failure(Exception):
    """What an attempt found wrong."""


class NotPossible(Exception):
    """Why a check cannot be made on this machine at all."""


@dataclass
class SmallRun:
    """The experiment in a folder of its own.

    Attributes:
        folder: of everything that the soak tests write.
        seconds: how long each stage took undisturbed.
        reference: content of the files after each stage, by stage and path; see :func:`contents_of`.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    reference: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        return Paths.under(self.folder / "run")

    def prepare(self) -> None:
        """Run every stage once, undisturbed, and keep the folders before each."""
        write_strips(self.paths)
        for stage in STAGES:
            shutil.copytree(self.folder / "run", self._before(stage))
            started = time.monotonic()
            self.finish(stage)
            self.seconds[stage] = time.monotonic() - started
            self.reference[stage] = contents_of(self.folder / "run")

    def rewind(self, stage: str) -> None:
        """Bring the folders into the state before a stage."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)  # a failed attempt may have left none
        shutil.copytree(self._before(stage), self.folder / "run")

    def start(self, stage: str, mark: str) -> subprocess.Popen[str]:
        """Start a stage whose processes all carry a mark in their environment."""
        where = {"input": self.paths.input, "folds": self.paths.folds, "submissions": self.paths.submissions}
        command = [sys.executable, str(ROOT / "src" / f"{stage}.py")]
        command += [f"--{name}={folder}" for name, folder in where.items()]
        command += STAGES[stage].replace("RUN", str(self.folder / "run")).split()
        log = self.folder / f"{mark}.log"
        with log.open("w") as file:
            return subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, text=True, env=os.environ | {MARK: mark}
            )

    def wait(self, process: subprocess.Popen[str], stage: str, mark: str) -> int:
        """Wait for the end of a stage; its exit code.

        Raises:
            Failure: if it hangs; all its processes are then killed.
        """
        seconds = max(MIN_HANG_SECONDS, HANG_FACTOR * self.seconds.get(stage, 0))
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            with suppress(Failure):  # of processes that are left, which it kills
                wait_until_gone(mark)
            raise Failure(f"{stage} has not ended after {seconds:.0f} s: {last_line(self.log(mark))}") from None

    def log(self, mark: str) -> str:
        return (self.folder / f"{mark}.log").read_text(encoding="utf-8", errors="replace")

    def finish(self, stage: str) -> None:
        """Run a stage to its end.

        Raises:
            Failure: if it does not end with code 0.
        """
        code = self.wait(self.start(stage, "finish"), stage, "finish")
        if code:
            raise Failure(f"{stage} ended with code {code}: {last_line(self.log('finish'))}")

    def check(self, stage: str) -> None:
        """Compare the folders with those of the reference after a stage.

        Raises:
            Failure: for a file that differs, is missing, or is one too many.
        """
        found, expected = contents_of(self.folder / "run"), self.reference[stage]
        different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if different:
            kind = {name: "differs" if name in found and name in expected else "missing" for name in different}
            kind |= dict.fromkeys(found.keys() - expected.keys(), "left over")
            raise Failure("; ".join(f"{name} {kind[name]}" for name in different[:5]))

    def _before(self, stage: str) -> Path:
        return self.folder / "before" / stage


def write_strips(paths: Paths) -> None:
    """Strips of noise in the competition's form; every third one is clean, the others have a bright box."""
    rng, rows = np.random.default_rng(0), []
    for folder, count in ((paths.train_images, TRAIN_STRIPS), (paths.test_images, TEST_STRIPS)):
        folder.mkdir(parents=True)
        for number in range(count):
            strip, mask = rng.normal(90, 25, (HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH), bool)
            mask[10 + number : 30 + number, 20:60] = number % 3 > 0
            name = f"{folder.name}_{number}.jpg"
            cv2.imwrite(str(folder / name), np.where(mask, strip + 90, strip).clip(0, 255).astype(np.uint8))
            if folder == paths.train_images and mask.any():
                rows.append((name, CLASSES[number % len(CLASSES)], rle.encode(mask)))
    pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(paths.train_csv, index=False)


def contents_of(folder: Path) -> dict[str, Any]:
    """Every file below a folder by its name: its bytes, or the values of JSON without seconds."""
    contents: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not file.is_file() or any(part in name for part in NOT_COMPARED):
            continue
        if LITTER.match(file.name):
            contents[name] = "hidden"
        elif file.suffix in (".json", ".jsonl"):
            lines = file.read_text(encoding="utf-8").splitlines() if file.suffix == ".jsonl" else [file.read_text()]
            contents[name] = [without_times(json.loads(line)) for line in lines]
        else:
            contents[name] = file.read_bytes()
    return contents


def without_times(value: Any) -> Any:
    """A value of JSON without keys whose values depend on the clock, and without hashes of files that hold such."""
    if isinstance(value, dict):
        return {key: without_times(entry) for key, entry in value.items() if not TIMED.search(key)}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


def processes_with(mark: str) -> list[int]:
    """Process ids of an attempt that are still there."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def wait_until_gone(mark: str) -> None:
    """Wait for the end of all processes of an attempt.

    Raises:
        Failure: if one is there after ``ENDING_SECONDS``; it is then killed.
    """
    deadline = time.monotonic() + ENDING_SECONDS
    while left := processes_with(mark):
        if time.monotonic() > deadline:
            names = []
            for pid in left:
                with suppress(OSError):  # it ended meanwhile
                    names.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:120])
                    os.kill(pid, signal.SIGKILL)
            if names:
                raise Failure(f"orphans {ENDING_SECONDS:.0f} s after the end: {'; '.join(names)}")
        time.sleep(0.1)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was printed"])[-1]
