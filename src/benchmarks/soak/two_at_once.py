"""The same stage twice, or two neighbouring ones, started at the same time on one experiment.

Each must succeed or end with one line that says why; run one after the other afterwards, they must give the files of a
run that nothing disturbed.
"""

from __future__ import annotations

import random
import time

from benchmarks.soak.small_run import STAGES, Failure, SmallRun, last_line

REFUSED = 2  # exit code of a stage that says in one line why it does nothing


def attempt(run: SmallRun, seed: int) -> None:
    """Two stages at once.

    Raises:
        Failure: if one ends with another code or with a traceback, or the files differ in the end.
    """
    dice, names = random.Random(seed), list(STAGES)
    first = dice.randrange(len(names) - 1)
    pair = [names[first], names[first + dice.randint(0, 1)]]
    run.rewind(pair[0])
    marks = [f"two-{seed}-{number}" for number in range(len(pair))]
    processes = []
    for stage, mark in zip(pair, marks, strict=True):
        processes.append(run.start(stage, mark))
        time.sleep(dice.choice([0, 0, dice.uniform(0, run.seconds[stage])]))
    for stage, mark, process in zip(pair, marks, processes, strict=True):
        code, text = run.wait(process, stage, mark), run.log(mark)
        if code not in (0, REFUSED) or "Traceback" in text:
            raise Failure(f"{' and '.join(pair)}: {stage} ended with code {code}: {last_line(text)}")
        run.wait_until_gone(mark)
    run.harms += 1
    for stage in dict.fromkeys(pair):
        run.finish(stage)
    run.check(pair[-1])
