"""Dice against the number of labelled strips, with and without a pretrained network.

Reads --input (train_images/, train.csv) and --from, the folds of a trained experiment: all trainings take its recipe,
and the pretrained ones start from the weights of its fold 0. Writes to --output rows.csv, a row per training, and
from its rows table.md and curve.png, after every training. Each training holds out one fold and learns from strips of
the others, for one epoch of --steps steps. What rows.csv has already, for the same values, strips and weights, is not
trained again.

    .venv/bin/python -m benchmarks.few_labels --input neu-strips --from folds/synthetic --output neu-curve \
        --labelled 26 52 105 --steps 300 --learning-rates 1e-3
    .venv/bin/python -m benchmarks.few_labels --input severstal-sample --from folds/synthetic --output severstal-curve \
        --labelled 0 5 13 --score-folds 4 --mixed 0 100

A number above what the other folds hold takes all of their strips: 13 strips in four folds leave 9 or 10.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import astuple, fields
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from benchmarks.few_labels import summary
from benchmarks.few_labels.labelled_strips import LabelledStrips
from benchmarks.few_labels.trial import Runner, Trial
from severstal import recipe
from severstal.artifacts import write_text
from severstal.console import Stage, parser, path, paths_of
from severstal.errors import run_stage
from severstal.experiment import Member
from severstal.paths import Paths
from severstal.processes import process_pool
from severstal.training.launcher import default_concurrency
from severstal.training.threads import threads_of_each

ROWS = "rows.csv"


def main() -> None:
    options = parse()
    paths = paths_of(options)
    stage = Stage("few labels", paths)
    source = LabelledStrips.read(paths, options.num_folds)
    start = Paths(folds=options.from_folds.resolve())
    pretrained = Member(start, next(iter(recipe.read(start).encoders)), 0)
    stage.read(f"{len(source.labels)} labelled strips of {paths.train_images}", pretrained.files.weights)
    trials = plan(options, source.key, pretrained.weights_hash()[:8])
    rows = read_rows(options.output / ROWS)
    left = [trial for trial in trials if astuple(trial) not in map(key_of, rows)]
    stage.say(f"{len(trials)} trainings, {len(trials) - len(left)} of them done before")
    num_jobs = default_concurrency(options.jobs, len(trials))
    runner = Runner(source, pretrained, options.output.resolve() / "running", num_jobs, threads_of_each(num_jobs))
    with process_pool():
        outcomes: Iterable[dict] = Parallel(num_jobs, return_as="generator_unordered")(
            delayed(runner.run)(trial) for trial in left
        )
        for number, row in enumerate(outcomes, start=1):
            rows.append(row)
            write_text(options.output / ROWS, pd.DataFrame(rows).to_csv(index=False))
            shown = "pretrained" if row["network"] else summary.WITHOUT
            stage.say(f"{number} of {len(left)}: {row['trained_on']} strips, {shown}, Dice {row['best']:.3f}")
    wanted = set(map(astuple, trials))
    report(stage, options.output, pd.DataFrame([row for row in rows if key_of(row) in wanted]))


def key_of(row: dict[str, Any]) -> tuple:
    """The values of a row's :class:`Trial`."""
    return tuple(row[field.name] for field in fields(Trial))


def plan(options: Namespace, data: str, network: str) -> list[Trial]:
    """Every training that the options ask for. The pretrained network as it is needs no seed and is scored once."""
    trials = []
    for labelled, fold in product(options.labelled, range(options.score_folds)):
        if not labelled:
            trials.append(Trial(data, network, 0, 0, 0, 0.0, 0, fold))
            continue
        starts = [("", 0), *((network, synthetic) for synthetic in options.mixed)]
        for (weights, synthetic), rate, seed in product(starts, options.learning_rates, options.seeds):
            trials.append(Trial(data, weights, labelled, synthetic, options.steps, rate, seed, fold))
    return trials


def read_rows(table: Path) -> list[dict[str, Any]]:
    """The rows of earlier runs; none before the first."""
    if not table.exists():
        return []
    texts = {"data": str, "network": str}  # hashes may look like numbers, and an empty one is no missing value
    exact = {"learning_rate": float}  # pandas' own parser may miss the last bit
    return pd.read_csv(table, dtype=texts, converters=exact, keep_default_na=False).to_dict("records")


def report(stage: Stage, output: Path, rows: pd.DataFrame) -> None:
    found = summary.summarise(rows)
    text, curve = summary.markdown(found), output / "curve.png"
    write_text(output / "table.md", text)
    summary.draw(curve, found)
    stage.wrote(output / ROWS, output / "table.md", curve)
    for line in text.splitlines():
        stage.say(line)
    stage.done(keep_time=False)


def parse() -> Namespace:
    command_line = parser(__doc__)
    add = command_line.add_argument
    add("--from", dest="from_folds", type=path, required=True, metavar="FOLDS")
    add("--output", type=path, required=True, metavar="DIR")
    add("--labelled", type=int, nargs="+", required=True, help="numbers of labelled strips; 0: --from as it is")
    add("--num-folds", type=int, default=4, help="folds of the labelled strips (default 4)")
    add("--score-folds", type=int, default=1, help="how many of the folds are held out, in turn (default 1)")
    add("--steps", type=int, default=40, help="of each training (default 40)")
    add("--learning-rates", type=float, nargs="+", default=[1e-4], help="one line of the curve each (default 1e-4)")
    add("--mixed", type=int, nargs="+", default=[0], help="strips of --from to train on beside the labelled ones, in "
        "equal parts; one line of the curve each (default 0)")  # fmt: skip
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default 0 1 2)")
    add("--jobs", type=int, metavar="N", help="trainings at once; default: one per GPU, or per core without a GPU")
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
