"""Tuning, and the export of both networks to ONNX."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.gpu.stages import experiment, run
from severstal import recipe
from severstal.engines import onnx_file
from severstal.engines.onnx_export import write_onnx
from severstal.experiment import all_members
from severstal.postprocess import tuned_values


def main() -> None:
    paths = experiment(Path(sys.argv[1]))
    seconds = {"tune": run("tune", paths)}
    nested = tuned_values.read(paths).scores["nested"]["mean"]
    nodes = []
    for member in all_members(paths, recipe.read(paths)):
        nodes.append(write_onnx(member))
        onnx_file.check_identity(member)
    summary = f"nested Dice {nested:.4f}; ONNX with {nodes[0][1]} nodes"
    print(json.dumps({"nested": nested, "nodes": nodes, "seconds": seconds, "summary": summary}))


if __name__ == "__main__":
    main()
