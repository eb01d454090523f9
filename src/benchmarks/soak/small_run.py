"""A small experiment of which every stage takes seconds: its commands, and the files that it must end with.

The reference is a run that nothing disturbed. The folders before each of its stages are kept, so that an attempt starts
at any stage. All attempts work in one folder, because some records hold paths.
"""

from __future__ import annotations

import os
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

from benchmarks.soak.contents import content_of, contents_of, differences
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
END = "end"
MARK = "SEVERSTAL_SOAK"  # environment of every process of an attempt
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
        kept: those of them that the stage did not change.
        harms: how often an attempt did harm so far, such as kills.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    reference: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    harms: int = 0

    @property
    def paths(self) -> Paths:
        return Paths.under(self.folder / "run")

    def prepare(self) -> None:
        """Run every stage once, undisturbed, and keep the folders before each and at the end."""
        write_strips(self.paths)
        before = contents_of(self.folder / "run")
        for stage in STAGES:
            shutil.copytree(self.folder / "run", self.before(stage))
            started = time.monotonic()
            self.finish(stage)
            self.seconds[stage] = time.monotonic() - started
            after = self.reference[stage] = contents_of(self.folder / "run")
            self.kept[stage] = {name: content for name, content in before.items() if after.get(name) == content}
            before = after
        shutil.copytree(self.folder / "run", self.before(END))

    def rewind(self, stage: str) -> None:
        """Bring the folders into the state before a stage."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)  # a failed attempt may have left none
        shutil.copytree(self.before(stage), self.folder / "run")

    def start(self, stage: str, mark: str) -> subprocess.Popen[str]:
        """Start a stage whose processes all carry a mark in their environment."""
        where = {"input": self.paths.input, "folds": self.paths.folds, "submissions": self.paths.submissions}
        command = [sys.executable, str(ROOT / "src" / f"{stage}.py")]
        command += [f"--{name}={folder}" for name, folder in where.items()]
        command += STAGES[stage].replace("RUN", str(self.folder / "run")).split()
        log = self.folder / f"{mark}.log"
        with log.open("w") as file:
            return subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | {MARK: f"{self.folder}/{mark}"},
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
                self.wait_until_gone(mark)
            raise Failure(f"{stage} has not ended after {seconds:.0f} s: {last_line(self.log(mark))}") from None

    def wait_until_gone(self, mark: str) -> None:
        """Wait for the end of all processes that carry a mark; see :func:`wait_until_gone`."""
        wait_until_gone(f"{self.folder}/{mark}")

    def end_processes(self) -> None:
        """Kill whatever runs, such as the stage of an attempt that Ctrl-C ended."""
        for pid in processes_with(f"{self.folder}/"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

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
        if different := differences(contents_of(self.folder / "run"), self.reference[stage]):
            raise Failure("; ".join(different[:5]))

    def recover(self, stage: str) -> None:
        """Run a stage again that was harmed; it must end as if it had not been.

        Raises:
            Failure: if the harm changed a file that the stage leaves alone, if a finished network is trained again, or
                if the folders differ from those of the undisturbed run.
        """
        files = {name: self.folder / "run" / name for name in self.kept[stage]}
        found = {name: content_of(file) for name, file in files.items() if file.exists()}
        if different := differences(found, self.kept[stage]):
            raise Failure(f"after the harm: {'; '.join(different[:5])}")
        finished = {file: file.stat().st_mtime_ns for file in self.paths.folds.rglob("weights.safetensors")}
        self.finish(stage)
        for file, written in finished.items():
            if file.stat().st_mtime_ns != written:
                raise Failure(f"{stage} made {file} again, which was finished")
        self.check(stage)

    def keep(self, folder: Path) -> None:
        """Copy the experiment and the logs of its stages elsewhere."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("before"), dirs_exist_ok=True)

    def forget_logs(self) -> None:
        for file in self.folder.glob("*.log"):
            file.unlink()

    def before(self, stage: str) -> Path:
        """The folders as they were before a stage; ``END``: after the last one."""
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


def processes_with(mark: str) -> list[int]:
    """Ids of the processes whose mark begins like this; a mark holds the folder, as other soak tests may run, too."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(value.startswith(wanted) for value in (folder / "environ").read_bytes().split(b"\0")):
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
