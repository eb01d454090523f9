"""One engine of the small trained networks: parity, Dice, speed, and the average of both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.stages import command, experiment, tune_once
from severstal.artifacts import read_json


def main() -> None:
    folder, engine, rounds = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    paths = experiment(folder)
    tune_once(paths)
    paths.engine_benchmark.unlink(missing_ok=True)
    arguments = ("--engines", engine, "--strips", 16, "--rounds", rounds)
    done = subprocess.run(command("benchmarks/engines", paths, *arguments), stdout=sys.stderr)
    rows: list[dict[str, Any]] = (
        read_json(paths.engine_benchmark, "")["rows"] if paths.engine_benchmark.exists() else []
    )
    print(json.dumps({"rows": rows, "summary": "; ".join(map(_text, rows))}))
    sys.exit(done.returncode)


def _text(row: dict[str, Any]) -> str:
    if "failure" in row:
        return f"{row['network']} failed: {row['failure']}"
    if "dice" not in row:
        return f"{row['network']} averaged: {row['rate_4']:.1f} strips/s"
    ratio = row["rate_4"] / row["rate_files"]
    return (
        f"{row['network']}: largest difference {row['largest']}/255, Dice {row['dice']:.4f} (PyTorch "
        f"{row['pytorch']:.4f}), {row['rate_4']:.1f} strips/s, from files {ratio:.2f} x the engine alone"
    )


if __name__ == "__main__":
    main()
