"""A small training of one network under torchrun, with a process for each GPU; two processes where there is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.gpu.small_training import read_log
from benchmarks.gpu.stages import command, run_command, small_experiment
from severstal.hardware import gpu_count


def main() -> None:
    work, amp, *values = sys.argv[1:]
    paths, encoder = small_experiment(Path(work) / "torchrun", amp, values)
    processes = gpu_count() or 2
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    python, *script = command("train", paths, encoder, 0)
    run_command([python, *torchrun, *script])
    dice = max(record["dice"] for record in read_log(paths, encoder))
    print(json.dumps({"processes": processes, "dice": dice, "summary": f"{processes} processes, Dice {dice:.4f}"}))


if __name__ == "__main__":
    main()
