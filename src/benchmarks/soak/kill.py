"""SIGKILL at a random moment of a random stage, up to three times, then the same command to its end.

The stage must end with the files of a run that was never killed, and leave no process and no temporary file. What it
finished before is not trained again.
"""

from __future__ import annotations

import random
import subprocess

from benchmarks.soak.small_run import STAGES, SmallRun

MAX_KILLS = 3
LATEST = 1.1  # of the undisturbed time: so that the last moments are hit, too, where a stage takes longer than then


def attempt(run: SmallRun, seed: int) -> None:
    """One stage, killed and finished.

    Raises:
        Failure: see :mod:`benchmarks.soak.small_run`.
    """
    dice = random.Random(seed)
    stage = dice.choice(list(STAGES))
    run.rewind(stage)
    for number in range(dice.randint(1, MAX_KILLS)):
        mark = f"kill-{seed}-{number}"
        process = run.start(stage, mark)
        try:
            process.wait(timeout=dice.uniform(0, LATEST * run.seconds[stage]))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            run.harms += 1
        run.wait_until_gone(mark)
    run.recover(stage)
