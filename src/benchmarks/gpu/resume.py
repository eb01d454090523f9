"""A training that is killed after an epoch and started again: it goes on from there, and trains all epochs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.small_training import read_log
from benchmarks.gpu.stages import command, run, small_experiment
from severstal import recipe
from severstal.experiment import Member


def main() -> None:
    work, amp, *values = sys.argv[1:]
    paths, encoder = small_experiment(Path(work) / "resume", amp, values)
    epochs = recipe.read(paths).epochs
    files = Member(paths, encoder, 0).files
    process = subprocess.Popen(command("train", paths, encoder, 0, "--jobs", 1), stdout=sys.stderr)
    while not (files.checkpoint.exists() and files.log.exists()) and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    if files.weights.exists() or not files.checkpoint.exists():
        sys.exit("it ended before it could be killed: there is nothing to resume")
    earlier = read_log(paths, encoder)
    run("train", paths, encoder, 0, "--jobs", 1)
    records = read_log(paths, encoder)
    dice = max(record["dice"] for record in records)
    summary = f"killed after {len(earlier)} of {epochs} epochs, {len(records)} in the end, Dice {dice:.4f}"
    print(json.dumps({"epochs": len(records), "dice": dice, "summary": summary}))
    if records[0] != earlier[0] or len(records) < epochs:
        sys.exit("it did not go on from the epoch that was finished")


if __name__ == "__main__":
    main()
