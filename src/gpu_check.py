"""Everything that only a GPU can show, in one go: engines built, compared, scored and timed; prints a table.

Reads trained networks (weights, out-of-fold maps, tuned values) and strips of their folds; exports where that is not
done yet; writes the engines beside the weights and submissions/gpu_check.json. An engine that fails is a row that says
why, and the others go on; the exit code is 2 then.

    bash bin/gpu_check.sh                  every trained network
    bash bin/gpu_check.sh resnet34 3       one
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from severstal import recipe
from severstal.artifacts import write_json
from severstal.console import Stage, parser, paths_of
from severstal.data.training_set import read_training_set
from severstal.engines import base as engines
from severstal.engines import export, float32_layers, onnx_file
from severstal.engines.dice_check import FoldDice
from severstal.errors import InputError, run_stage
from severstal.experiment import Member, all_members, select
from severstal.hardware import gpus
from severstal.inference import prediction
from severstal.postprocess import tuned_values
from severstal.postprocess.tuned_values import Rule

ENGINES = "torch,torch-fp16,tensorrt-fp32,tensorrt,tensorrt-int8"
BATCHES = (1, 4, 8)

Row = dict[str, Any]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("encoder", nargs="?", help="check only this encoder")
    made.add_argument("fold", nargs="?", type=int, help="check only this fold")
    made.add_argument("--engines", default=ENGINES, help=f"default: {ENGINES}")
    made.add_argument("--strips", type=int, default=32, help="strips per round of timing; default 32")
    made.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken; default 5")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("gpu_check", paths)
    chosen = recipe.read(paths.recipe)
    members = select(all_members(paths, chosen), chosen, options.encoder, options.fold)
    names = [engines.choose(name) for name in options.engines.split(",")]
    data, rules = read_training_set(paths), tuned_values.read(paths.postprocess).rules
    stage.say(f"{', '.join(gpu['name'] for gpu in gpus()) or 'no GPU'}; {len(members)} networks, {len(names)} engines")
    rows, loaded = [], {}
    for member in members:
        export_missing(member)
        fold = FoldDice(member, data, rules)
        strips = sample(fold, options.strips)
        for name in names:
            row, engine = check(member, name, fold, strips, rules)
            rows.append(row)
            loaded.setdefault(name, []).append(engine)
    rows += [ensemble(name, loaded[name], strips) for name in names if len(members) > 1 and None not in loaded[name]]
    measure(rows, strips, options.rounds)
    for line in table(rows):
        stage.say(line)
    write_json(paths.gpu_check, {"gpus": gpus(), "rows": rows})
    stage.wrote(paths.gpu_check)
    stage.done()
    failed = [f"{row['network']}, {row['engine']}: {row['failed']}" for row in rows if "failed" in row]
    if failed:
        raise InputError("; ".join(failed))


def export_missing(member: Member) -> None:
    """Write the member's ONNX file where there is none of its weights."""
    try:
        onnx_file.check_identity(member)
    except InputError:
        export.write_onnx(member)


def sample(fold: FoldDice, count: int) -> np.ndarray:
    """``count`` held-out strips, again from the first where there are fewer."""
    images = [fold.images[i % len(fold.images)] for i in range(count)]
    return np.stack([fold.strip(image) for image in images])


def check(
    member: Member, name: str, fold: FoldDice, strips: np.ndarray, rules: tuple[Rule, ...]
) -> tuple[Row, engines.Engine | None]:
    """Build and load an engine, hold it against PyTorch in float32, score it on the fold's held-out strips."""
    row: Row = {"network": member.name, "engine": name}
    began = time.monotonic()
    try:
        runtime = engines.runtime(name)
        runtime.build(member, fold)
        engine = runtime.load(member)
        row |= {"built_in": time.monotonic() - began, "kept": float32_layers.read(member, name)}
        reference = engines.runtime("torch").load(member)
        parity = export.compare(reference, engine, strips[:8], [rule.threshold for rule in rules])
        row |= parity.as_json() | {"dice": fold.of(engine), "pytorch": fold.reference}
        export.check_parity(name, parity, engines.RUNTIMES[name].tolerance)
        return row | {"call": engine}, engine
    except (InputError, RuntimeError) as error:  # CUDA and TensorRT raise RuntimeErrors of many kinds
        return row | {"failed": str(error)}, None


def ensemble(name: str, loaded: list[engines.Engine], strips: np.ndarray) -> Row:
    """All networks of one engine, averaged where it computes if it can, and whether that is the host's mean."""
    row: Row = {"network": f"all {len(loaded)}", "engine": name}
    weights = list(range(1, len(loaded) + 1))
    on_host = prediction.Ensemble(loaded, weights)
    together = getattr(engines.runtime(name), "together", None)
    call = together(loaded, weights) if together else on_host
    if together and not all(same(call, on_host, strips[:count]) for count in (4, 4, 4, 3)):
        row["failed"] = "the mean made on the GPU is not that made on the host"
    return row | {"call": call}


def same(one: engines.Engine, other: engines.Engine, strips: np.ndarray) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one(strips), other(strips), strict=True))


def measure(rows: list[Row], strips: np.ndarray, rounds: int) -> None:
    """Strips per second of every row at each batch size; all take turns, so that heat and clocks are shared."""
    calls = [(row, batch) for row in rows if "call" in row for batch in BATCHES]
    taken: dict[int, list[float]] = {}
    for number in tqdm(range(rounds + 1), "rounds", leave=False, disable=None):
        for index, (row, batch) in enumerate(calls):
            seconds = timed(row["call"], strips, batch)
            if number:  # the first round warms up
                taken.setdefault(index, []).append(seconds)
    for index, (row, batch) in enumerate(calls):
        row[f"rate_{batch}"] = len(strips) / float(np.median(taken[index]))
    for row in rows:
        row.pop("call", None)


def timed(call: Callable[[np.ndarray], Any], strips: np.ndarray, batch: int) -> float:
    began = time.monotonic()
    for start in range(0, len(strips), batch):
        call(strips[start : start + batch])
    return time.monotonic() - began


def table(rows: list[Row]) -> list[str]:
    """The rows in markdown."""
    rates = " | ".join(f"strips/s, {batch} a call" for batch in BATCHES)
    lines = [
        f"| network | engine | built in | largest, mean of 255 | flipped | Dice (PyTorch) | kept in float32 | {rates} |"
    ]
    lines.append("|---" * (7 + len(BATCHES)) + "|")
    for row in rows:
        cells = [row["network"], row["engine"]]
        if "failed" in row:
            cells.append(f"failed: {row['failed']}")
        elif "dice" in row:
            cells += [f"{row['built_in']:.1f} s", f"{row['largest']}, {row['mean']:.2g}", f"{row['flipped']:.1g}"]
            cells += [f"{row['dice']:.5f} ({row['pytorch']:.5f})", ", ".join(row["kept"] or [])]
        else:
            cells += [""] * 5
        cells += [f"{row[f'rate_{batch}']:.1f}" for batch in BATCHES if f"rate_{batch}" in row]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    run_stage(main)
