"""Everything that only a GPU can show: every engine built, compared, scored and timed, as one table.

Reads trained networks (weights, out-of-fold maps, tuned values) and strips of their folds; exports where that is not
done yet; writes the engines beside the weights and submissions/gpu_check.json. An engine that fails is a row with the
reason, and the others go on; the exit code is 2 then.

    bash bin/gpu_check.sh                  every trained network
    bash bin/gpu_check.sh resnet34 3       one
"""

from __future__ import annotations

from collections.abc import Sequence

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
from severstal.paths import Paths
from severstal.postprocess import tuned_values

ENGINES = "torch,torch-fp16,tensorrt-fp32,tensorrt,tensorrt-int8"
BATCHES = (1, 4, 8)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("encoder", nargs="?", help="check only this encoder")
    arguments.add_argument("fold", nargs="?", type=int, help="check only this fold")
    arguments.add_argument("--engines", default=ENGINES, help=f"default: {ENGINES}")
    arguments.add_argument("--strips", type=int, default=32, help="strips per round of timing; default 32")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken; default 5")
    options = arguments.parse_args()
    paths = paths_of(options)
    stage = Stage("gpu_check", paths)
    chosen = recipe.read(paths.recipe)
    members = select_members(paths, chosen, options.encoder, options.fold)
    engine_classes = [catalog.engine_class(catalog.choose(name)) for name in options.engines.split(",")]
    names = ", ".join(gpu["name"] for gpu in gpus()) or "no GPU"
    stage.say(f"{names}; {len(members)} networks, {len(engine_classes)} engines")
    with experiment_lock(paths):
        checks, strips = check(paths, members, engine_classes, options.strips)
    measure(checks, strips, options.rounds)
    for line in table(checks):
        stage.say(line)
    write_json(paths.gpu_check, {"gpus": gpus(), "rows": [row.as_json() for row in checks]})
    stage.wrote(paths.gpu_check)
    stage.done()
    failures = [f"{row.network}, {row.engine}: {row.failure}" for row in checks if row.failure]
    if failures:
        raise InputError("; ".join(failures))


def check(
    paths: Paths, members: list[Member], engine_classes: list[type[Engine]], count: int
) -> tuple[list[EngineCheck], np.ndarray]:
    """Every engine of every network, then the averages of each engine; and strips ``uint8 [count, H, W]`` to time."""
    data, rules = read_training_set(paths), tuned_values.read(paths.postprocess).rules
    checks = []
    for member in members:
        engine_check.export_missing(member)
        fold = FoldScorer(member, data, rules)
        strips = engine_check.draw_strips(fold, count)
        checks += [engine_check.check_engine(engine_class, fold, strips, rules) for engine_class in engine_classes]
    for engine_class in engine_classes if len(members) > 1 else ():
        rows = (row for row in checks if row.engine == engine_class.name)
        engines = [row.predict for row in rows if isinstance(row.predict, engine_class)]
        if len(engines) == len(members):
            checks.append(engine_check.check_average(engine_class, engines, strips))
    return checks, strips


def measure(checks: list[EngineCheck], strips: np.ndarray, rounds: int) -> None:
    """Strips per second of every row at each batch size."""
    calls = {
        f"{number} {batch}": lambda predict=row.predict, batch=batch: predict_all(predict, strips, batch)
        for number, row in enumerate(checks)
        for batch in BATCHES
        if row.predict
    }
    medians = interleaved_medians(calls, rounds)
    for number, row in enumerate(checks):
        rates = {f"rate_{batch}": medians.get(f"{number} {batch}") for batch in BATCHES}
        row.facts |= {name: len(strips) / seconds for name, seconds in rates.items() if seconds}


def predict_all(predict: Predict, strips: np.ndarray, batch: int) -> None:
    for start in range(0, len(strips), batch):
        predict(strips[start : start + batch])


def table(checks: Sequence[EngineCheck]) -> list[str]:
    """The rows in Markdown."""
    columns = ["network", "engine", "built in", "largest, mean of 255", "flipped", "Dice (PyTorch)", "kept in float32"]
    columns += [f"strips/s, {batch} a call" for batch in BATCHES]
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
    return texts + [f"{facts[f'rate_{batch}']:.1f}" for batch in BATCHES if f"rate_{batch}" in facts]


if __name__ == "__main__":
    run_stage(main)
