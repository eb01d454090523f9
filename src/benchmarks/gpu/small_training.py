"""A small real training in one mode of mixed precision: its Dice, and whether a step was skipped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.stages import run, small_experiment
from severstal.experiment import Member
from severstal.paths import Paths


def main() -> None:
    work, amp, folds, *values = sys.argv[1:]
    paths, encoder = small_experiment(Path(work) / amp, amp, values)
    chosen = (encoder, 0) if folds == "1" else ()
    seconds = run("train", paths, *chosen, "--jobs", 1)
    records = read_log(paths, encoder)
    best = max(record["dice"] for record in records)
    skipped = sum(record["skipped_steps"] for record in records)
    facts = {
        "dice": best,
        "loss": records[-1]["loss"],
        "skipped_steps": skipped,
        "seconds": seconds,
        "folds": int(folds),
    }
    facts["loss_scale"] = records[-1]["loss_scale"]
    facts["summary"] = f"Dice {best:.4f} after {len(records)} epochs, {skipped} steps skipped"
    print(json.dumps(facts))


def read_log(paths: Paths, encoder: str) -> list[dict[str, Any]]:
    """The records of the first fold's epochs."""
    lines = Member(paths, encoder, 0).files.log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
