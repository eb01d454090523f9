"""Every engine of trained networks on this machine: built, compared with PyTorch, scored and timed, as one table.

Reads trained networks (weights, out-of-fold maps, tuned values) and strips of their folds; exports where that is not
done yet; writes the engines beside the weights and submissions/benchmark_engines.json. An engine that fails is a row
with the reason, and the others go on; the exit code is 2 then. Each engine is freed after its row.

    bash bin/benchmark_engines.sh                  every trained network, every engine that this machine can run
    bash bin/benchmark_engines.sh resnet34 3       one
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.timing import interleaved_medians
from severstal import recipe
from severstal.artifacts import write_json
from severstal.console import Stage, parser, paths_of
from severstal.data.training_set import read_training_set
from severstal.engines import catalog, engine_check
from severstal.engines.base import Engine
from severstal.engines.dice_check import FoldScorer
from severstal.engines.engine_check import EngineCheck
from severstal.engines.outputs import Predict
from severstal.errors import InputError, run_stage
from severstal.experiment import Member, experiment_lock, select_members
from severstal.hardware import gpus
from severstal.inference.corrupt_strips import StripReader
from severstal.inference.prediction import in_batches, predict_codes
from severstal.paths import Paths
from severstal.postprocess import tuned_values

FILES = 64  # strips at least, from files
BATCHES = (1, 4, 8)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("encoder", nargs="?", help="check only this encoder")
    arguments.add_argument("fold", nargs="?", type=int, help="check only this fold")
    arguments.add_argument("--engines", metavar="A,B", help="default: all that this machine can run")
    arguments.add_argument("--strips", type=int, default=32, help="strips per round of timing; default 32")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken; default 5")
    options = arguments.parse_args()
    paths = paths_of(options)
    stage = Stage("benchmark of engines", paths)
    chosen = recipe.read(paths)
    members = select_members(paths, chosen, options.encoder, options.fold)
    if options.engines:
        engine_classes = [catalog.engine_class(catalog.choose(name)) for name in options.engines.split(",")]
    else:
        engine_classes = usable_engines(stage)
    names = ", ".join(gpu["name"] for gpu in gpus()) or "no GPU"
    stage.say(f"{names}; {len(members)} networks, {len(engine_classes)} engines")
    with experiment_lock(paths):
        checks = check(paths, members, engine_classes, Timing(options.strips, options.rounds))
    for line in table(checks):
        stage.say(line)
    write_json(paths.engine_benchmark, {"gpus": gpus(), "rows": [row.as_json() for row in checks]})
    stage.wrote(paths.engine_benchmark)
    stage.done()
    failures = [f"{row.network}, {row.engine}: {row.failure}" for row in checks if row.failure]
    if failures:
        raise InputError("; ".join(failures))


def usable_engines(stage: Stage) -> list[type[Engine]]:
    """Every engine that this machine can run; a line says why another is left out."""
    found = []
    for name in catalog.NAMES:
        try:
            found.append(catalog.engine_class(catalog.choose(name)))
        except InputError as error:
            stage.say(f"left out: {error}")
    return found


@dataclass(frozen=True)
class Timing:
    """How rows are timed.

    Attributes:
        strips: predicted in a round.
        rounds: of which the median is taken.
    """

    strips: int
    rounds: int


def check(paths: Paths, members: list[Member], engine_classes: list[type[Engine]], timing: Timing) -> list[EngineCheck]:
    """Every engine of every network, then the averages of each engine."""
    data, rules = read_training_set(paths), tuned_values.read(paths).rules
    checks = []
    for member in members:
        fold = FoldScorer(member, data, rules)
        strips = engine_check.draw_strips(fold, timing.strips)
        for engine_class in engine_classes:
            row = engine_check.check_engine(engine_class, fold, strips, rules)
            checks.append(timed_and_freed(row, strips, timing.rounds, partial(predict_files, fold)))
    for engine_class in engine_classes if len(members) > 1 else ():
        if not any(row.failure for row in checks if row.engine == engine_class.name):
            row = engine_check.check_average(engine_class, [engine_class.load(member) for member in members], strips)
            checks.append(timed_and_freed(row, strips, timing.rounds))
    return checks


def timed_and_freed(
    row: EngineCheck, strips: np.ndarray, rounds: int, from_files: Callable[[Predict], int] | None = None
) -> EngineCheck:
    """The row with its strips per second at each batch size, and without its engine, whose memory is free then.

    Args:
        from_files: predicts strips from their files to run-length codes, and returns their number.
    """
    predict, row.predict = row.predict, None
    if predict is None:
        return row
    calls: dict[str, Callable[[], object]] = {
        f"rate_{batch}": partial(predict_all, predict, strips, batch) for batch in BATCHES
    }
    medians = interleaved_medians(calls, rounds)
    row.facts |= {name: len(strips) / seconds for name, seconds in medians.items()}
    if from_files:
        from_files(predict)
        began = time.monotonic()
        count = from_files(predict)
        row.facts["rate_files"] = count / (time.monotonic() - began)
    return row


def predict_files(fold: FoldScorer, predict: Predict) -> int:
    """Predict the fold's strips as the stage does, from JPEG files to run-length codes."""
    images = [fold.images[i % len(fold.images)] for i in range(max(len(fold.images), FILES))]
    codes = predict_codes(in_batches(images), StripReader(fold.read_strip), predict, fold.rules)
    return sum(1 for _ in codes)


def predict_all(predict: Predict, strips: np.ndarray, batch: int) -> None:
    for start in range(0, len(strips), batch):
        predict(strips[start : start + batch])


def table(checks: Sequence[EngineCheck]) -> list[str]:
    """The rows in Markdown."""
    columns = ["network", "engine", "built in", "largest, mean of 255", "flipped", "Dice (PyTorch)", "kept in float32"]
    columns += [f"strips/s, {batch} a call" for batch in BATCHES]
    columns += ["files to codes, strips/s"]
    rows = [columns, ["---"] * len(columns), *(cells(row) for row in checks)]
    return [f"| {' | '.join(row)} |" for row in rows]


def cells(row: EngineCheck) -> list[str]:
    """One row of the table; a failure stands in place of the figures."""
    facts, texts = row.facts, [row.network, row.engine]
    if row.failure:
        texts.append(f"failed: {row.failure}")
    elif "dice" in facts:
        texts += [f"{facts['built_in']:.1f} s", f"{facts['largest']}, {facts['mean']:.2g}", f"{facts['flipped']:.1g}"]
        texts += [f"{facts['dice']:.5f} ({facts['pytorch']:.5f})", ", ".join(facts["kept"] or [])]
    else:
        texts += [""] * 5
    rates = (*(f"rate_{batch}" for batch in BATCHES), "rate_files")
    return texts + [f"{facts[name]:.1f}" for name in rates if name in facts]


if __name__ == "__main__":
    run_stage(main)
