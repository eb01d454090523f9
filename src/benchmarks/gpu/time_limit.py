"""Prediction with ``--time-limit``: no member may be left out for its slow first calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.gpu.stages import experiment, run, tune_once
from severstal.artifacts import read_json
from severstal.engines.catalog import engine_class
from severstal.engines.onnx_export import write_onnx
from severstal.experiment import all_members
from severstal.recipe import read


def main() -> None:
    folder, engine = Path(sys.argv[1]), sys.argv[2]
    paths = experiment(folder)
    tune_once(paths)
    members = all_members(paths, read(paths))
    for member in members:
        if engine_class(engine).reads_onnx and not member.files.onnx.exists():
            write_onnx(member)
    paths.submission_report.unlink(missing_ok=True)
    seconds = run("predict", paths, "--engine", engine_class(engine).name, "--time-limit", "60s", "--skip-late")
    record = read_json(paths.submission_report, "")
    used = {name: count for name, count in record["strips_of_members"].items() if count}
    summary = f"{len(used)} of {len(members)} networks, {record['late']} strips too late, {seconds} s in all"
    print(json.dumps({"strips_of_members": used, "late": record["late"], "seconds": seconds, "summary": summary}))
    if len(used) < len(members) or record["late"]:
        raise SystemExit("a network or a strip was left out although a minute suffices")


if __name__ == "__main__":
    main()
