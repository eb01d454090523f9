"""Synthetic strips for all steps."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.gpu.stages import experiment, run


def main() -> None:
    work, train, test = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    paths = experiment(work / "any")
    seconds = run("make_input", paths, "--train", train, "--test", test, "--num-workers", os.cpu_count() or 1)
    print(json.dumps({"seconds": seconds, "summary": f"{train} and {test} synthetic strips drawn"}))


if __name__ == "__main__":
    main()
