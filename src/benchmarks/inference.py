"""Time inference from JPEG files to submission.csv: engines against the usual PyTorch loop, and against themselves.

Takes one trained network and its fold's own held-out strips, so that every engine's Dice stands beside its speed. All
contestants take turns, round by round, on the same strips; medians are printed. Then the memory of many strips
against that of few, and run-length coding against pycocotools.

    bash bin/benchmark.sh resnet18 0 --input path/to/neu-strips --folds folds/neu
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.inference_baseline import BaselineLoop
from severstal import recipe
from severstal.console import Stage, folder_options, parser, paths_of
from severstal.data import rle, strips
from severstal.data.labels import masks
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.engines import base as engines
from severstal.engines.dice_check import FoldDice
from severstal.errors import run_stage
from severstal.experiment import Member, all_members, select
from severstal.hardware import processor
from severstal.inference import prediction, submission
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.tuned_values import Rule

BATCH = 4
FEW, MANY = 200, 2000

Contestant = Callable[[list[str]], None]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("encoder", help="a trained and exported network: its encoder")
    made.add_argument("fold", type=int, help="and its fold")
    made.add_argument("--engines", default="onnxruntime,openvino,openvino-int8", help="those to time")
    made.add_argument("--strips", type=int, default=16, help="strips per round; default 16")
    made.add_argument("--rounds", type=int, default=5, help="default 5")
    made.add_argument("--only-memory-of", type=int, metavar="N", help="predict N strips and print the peak memory, MiB")
    options = made.parse_args()
    paths = paths_of(options)
    chosen = recipe.read(paths.recipe)
    (member,) = select(all_members(paths, chosen), chosen, options.encoder, options.fold)
    data, rules = read_training_set(paths), tuned_values.read(paths.postprocess).rules
    names = [engines.choose(name) for name in options.engines.split(",")]
    if options.only_memory_of:
        print(peak_memory(member, data, rules, names[-1], options.only_memory_of))
        return
    stage = Stage("benchmark of inference", paths)
    stage.say(f"{processor()}, {os.cpu_count()} cores; {member.name}, {1 + len(member.config().recipe.tta)} views")
    speed(stage, member, data, rules, names, options.strips, options.rounds)
    memory(stage, paths, member, names[-1])
    run_length_codes(stage, data)
    stage.done()


# -- speed and Dice --------------------------------------------------------------------------------


def speed(
    stage: Stage, member: Member, data: TrainingSet, rules: tuple[Rule, ...], names: list[str], count: int, rounds: int
) -> None:
    images = data.images(member.fold, held_out=True)[:count]
    usual, fold = BaselineLoop(member, rules), FoldDice(member, data, rules)
    loaded = {name: engines.runtime(name).load(member) for name in names}
    whole = {"usual loop": lambda: usual.predict(data.paths.train_images, images)}
    whole |= {name: lambda engine=engine: end_to_end(engine, data, images, rules) for name, engine in loaded.items()}
    decoded = np.stack([fold.strip(image) for image in images])
    alone = {name: lambda engine=engine: only(engine, decoded) for name, engine in loaded.items()}
    times: dict[str, list[float]] = {}
    for number in tqdm(range(rounds + 1), "rounds", leave=False, disable=None):
        for name, work in [*whole.items(), *((f"{name} alone", work) for name, work in alone.items())]:
            taken = timed(work)
            if number:  # the first round warms up
                times.setdefault(name, []).append(taken)
    medians = {name: float(np.median(taken)) for name, taken in times.items()}
    stage.say(f"JPEG files to CSV, {len(images)} strips a round, medians of {rounds} interleaved rounds:")
    dices = {"usual loop": fold.reference} | {name: fold.of(engine) for name, engine in loaded.items()}
    for name in whole:
        line = f"{len(images) / medians[name]:6.2f} strips/s, {medians['usual loop'] / medians[name]:5.2f} x usual"
        if name in alone:
            line += f", {medians[name] / medians[f'{name} alone']:.3f} x the engine alone"
        stage.say(f"  {name:<14} {line}; Dice {dices[name]:.5f} ({len(fold.images)} held-out strips)")


def end_to_end(engine: engines.Engine, data: TrainingSet, images: list[str], rules: tuple[Rule, ...]) -> None:
    """Prediction as the stage does it, its file included."""
    reader = prediction.Reader(
        lambda image: strips.read_sized(data.paths.train_images / image, data.height, data.width)
    )
    ensemble = prediction.Ensemble([engine], [1])
    codes = dict(prediction.codes_of(prediction.in_batches(images, BATCH), reader, ensemble, rules))
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        submission.write(Path(file.name), submission.Form(images, submission.DEFAULT_COLUMNS), codes)


def only(engine: engines.Engine, decoded: np.ndarray) -> None:
    for start in range(0, len(decoded), BATCH):
        engine(decoded[start : start + BATCH])


# -- memory ----------------------------------------------------------------------------------------


def memory(stage: Stage, paths: Paths, member: Member, engine: str) -> None:
    """Peak memory of a process of its own that predicts few, and of one that predicts many."""
    peaks = []
    for count in (FEW, MANY):
        command = [sys.executable, __file__, member.encoder, str(member.fold), *folder_options(paths)]
        command += ["--engines", engine, "--only-memory-of", str(count)]
        peaks.append(int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]))
    few, many = peaks
    stage.say(f"peak memory, {engine}: {few} MiB for {FEW} strips, {many} MiB for {MANY}: {many / few:.3f} x")


def peak_memory(member: Member, data: TrainingSet, rules: tuple[Rule, ...], engine: str, count: int) -> int:
    """MiB at the peak of predicting ``count`` strips, the data set's own over and over."""
    images = data.images(member.fold, held_out=True)
    loaded = engines.runtime(engine).load(member)
    end_to_end(loaded, data, [images[i % len(images)] for i in range(count)], rules)
    # Not getrusage: its peak starts at that of the process that started this one.
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(peak) // 2**10


# -- run-length codes ------------------------------------------------------------------------------


def run_length_codes(stage: Stage, data: TrainingSet) -> None:
    """Encoding and decoding of the training masks, against pycocotools' C on the same masks.

    Its codes are of another form, so ours are timed with all that the competition's text takes, and its without.
    """
    from pycocotools import mask as coco

    drawn = [one for codes in data.labels.values() for one in masks(codes, data.height, data.width) if one.any()]
    ordered = [np.asfortranarray(one, dtype=np.uint8) for one in drawn]
    coded, coco_coded = [rle.encode(one) for one in drawn], [coco.encode(one) for one in ordered]
    times: dict[str, list[float]] = {}
    for _ in range(5):
        for name, work in {
            "ours encode": lambda: [rle.encode(one) for one in drawn],
            "decode": lambda: [rle.decode(one, data.height, data.width) for one in coded],
            "pycocotools encode": lambda: [coco.encode(one) for one in ordered],
            "decode ": lambda: [coco.decode(one) for one in coco_coded],
        }.items():
            times.setdefault(name, []).append(timed(work) / len(drawn) * 1e3)
    told = ", ".join(f"{name.strip()} {np.median(taken):.3f} ms" for name, taken in times.items())
    stage.say(f"run-length codes, {len(drawn)} masks: {told}")


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    run_stage(main)
