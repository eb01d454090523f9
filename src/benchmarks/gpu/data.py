"""Synthetic strips for all steps, and their folds for the steps that time training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.gpu.stages import experiment, run
from severstal.hardware import core_count


def main() -> None:
    work, train, test = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    paths = experiment(work / "any")
    seconds = run("make_input", paths, "--train", train, "--test", test, "--num-workers", core_count())
    run("make_folds", experiment(work / "speed"), "--recipe", "kaggle", "--encoder-weights", "none", "--num-folds", 2)
    print(json.dumps({"seconds": seconds, "summary": f"{train} and {test} synthetic strips drawn"}))


if __name__ == "__main__":
    main()
