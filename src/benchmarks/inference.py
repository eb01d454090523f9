"""Time inference from JPEG files to submission.csv: engines against PyTorch without one, and against themselves.

Takes one trained network and its fold's own held-out strips, so that every engine's Dice stands beside its speed. All
contestants take turns, round by round, on the same strips; medians are printed. The headline is relative to eager
PyTorch in batches; a loop over single strips is a second baseline. Then come the memory of many strips against that of
few, and run-length coding against pycocotools where that is installed.

    bash bin/benchmark.sh resnet18 0 --input path/to/neu-strips --folds folds/neu
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.baseline_packages import is_installed
from benchmarks.inference_baseline import BatchedBaseline, NaiveBaseline
from benchmarks.timing import interleaved_medians
from severstal import recipe
from severstal.commands import folder_options
from severstal.console import Stage, parser, paths_of
from severstal.data import rle, strips
from severstal.data.labels import masks
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.engines import catalog
from severstal.engines.base import BATCH_SIZE, Engine
from severstal.engines.dice_check import FoldScorer
from severstal.errors import InputError, run_stage
from severstal.experiment import Member, select_members
from severstal.hardware import core_count, processor
from severstal.inference import prediction, submission
from severstal.inference.corrupt_strips import StripReader
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import Rule

BASELINE, NAIVE = "batched PyTorch", "naive loop"
ENGINES = "onnxruntime,openvino,openvino-int8"
FEW, MANY = 200, 2000  # strips whose peak memory is compared


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("encoder", help="a trained and exported network: its encoder")
    arguments.add_argument("fold", type=int, help="and its fold")
    arguments.add_argument("--engines", help=f"those to time; default: of {ENGINES} those that it was exported for")
    arguments.add_argument("--strips", type=int, default=16, help="strips per round; default 16")
    arguments.add_argument("--rounds", type=int, default=5, help="default 5")
    arguments.add_argument(
        "--only-memory-of", type=int, metavar="N", help="predict N strips and print the peak memory, MiB"
    )
    options = arguments.parse_args()
    paths = paths_of(options)
    chosen = recipe.read(paths)
    (member,) = select_members(paths, chosen, options.encoder, options.fold)
    data, rules = read_training_set(paths), tuned_values.read(paths).rules
    if options.only_memory_of:
        print(peak_memory(member, data, rules, catalog.choose(options.engines), options.only_memory_of))
        return
    stage = Stage("benchmark of inference", paths)
    stage.say(f"{processor()}, {core_count()} cores; {member.name}, {1 + len(member.config().recipe.tta)} views")
    engines = load_engines(stage, member, options.engines)
    speed(stage, member, data, rules, engines, options.strips, options.rounds)
    memory(stage, paths, member, list(engines)[-1])
    run_length_codes(stage, data)
    stage.done()


def load_engines(stage: Stage, member: Member, requested: str | None) -> dict[str, Engine]:
    """The requested engines by name; without a request those of ``ENGINES`` that can be loaded, and a line for others.

    Raises:
        InputError: if a requested engine, or every one of ``ENGINES``, cannot be loaded.
    """
    engines: dict[str, Engine] = {}
    for requested_name in (requested or ENGINES).split(","):
        try:
            name = catalog.choose(requested_name)
            engines[name] = catalog.engine_class(name).load(member)
        except InputError as error:
            if requested:
                raise
            stage.say(f"{requested_name} is left out: {error}")
    if not engines:
        raise InputError(f"{member.name} has no engine to time: run `{member.export_command}`")
    return engines


# -- speed and Dice --------------------------------------------------------------------------------


def speed(
    stage: Stage,
    member: Member,
    data: TrainingSet,
    rules: tuple[Rule, ...],
    engines: dict[str, Engine],
    count: int,
    rounds: int,
) -> None:
    images, folder = data.images(member.fold, held_out=True)[:count], data.paths.train_images
    fold = FoldScorer(member, data, rules)
    naive, batched = NaiveBaseline(member, rules), BatchedBaseline(member, rules)
    decoded = np.stack([fold.read_strip(image) for image in images])
    contestants: dict[str, Callable[[], None]] = {
        BASELINE: partial(batched.predict, folder, images),
        NAIVE: partial(naive.predict, folder, images),
    }
    for name, engine in engines.items():
        contestants[name] = partial(predict_files, engine, data, images, rules)
        contestants[f"{name} alone"] = partial(predict_decoded, engine, decoded)
    medians = interleaved_medians(contestants, rounds)
    dice = {name: fold.score(engine) for name, engine in engines.items()}
    stage.say(f"JPEG files to CSV, {len(images)} strips a round, medians of {rounds} interleaved rounds:")
    for name in (BASELINE, NAIVE, *engines):
        seconds = medians[name]
        line = f"{len(images) / seconds:6.2f} strips/s, {medians[BASELINE] / seconds:5.2f} x {BASELINE}"
        if name in engines:
            line += f", {seconds / medians[f'{name} alone']:.3f} x the engine alone"
        stage.say(
            f"  {name:<15} {line}; Dice {dice.get(name, fold.reference):.5f} ({len(fold.images)} held-out strips)"
        )


def predict_files(engine: Engine, data: TrainingSet, images: list[str], rules: tuple[Rule, ...]) -> None:
    """Prediction as the stage does it, its file included."""
    reader = StripReader(lambda image: strips.read(data.paths.train_images / image, (data.height, data.width)))
    codes = dict(prediction.predict_codes(prediction.in_batches(images, BATCH_SIZE), reader, engine, rules))
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        submission.write(Path(file.name), submission.Form(images, submission.DEFAULT_COLUMNS), codes)


def predict_decoded(engine: Engine, decoded: np.ndarray) -> None:
    for start in range(0, len(decoded), BATCH_SIZE):
        engine(decoded[start : start + BATCH_SIZE])


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
    loaded = catalog.engine_class(engine).load(member)
    predict_files(loaded, data, [images[i % len(images)] for i in range(count)], rules)
    # Not getrusage: its peak starts at that of the process that started this one.
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(peak) // 2**10


# -- run-length codes ------------------------------------------------------------------------------


def run_length_codes(stage: Stage, data: TrainingSet) -> None:
    """Encoding and decoding of the training masks, against pycocotools' C on the same masks where that is installed.

    pycocotools writes codes of another form. Ours are timed with everything that the competition's text needs.
    """
    drawn = [mask for codes in data.labels.values() for mask in masks(codes, data.height, data.width) if mask.any()]
    codes = [rle.encode(mask) for mask in drawn]
    contestants: dict[str, Callable[[], object]] = {
        "ours encode": lambda: [rle.encode(mask) for mask in drawn],
        "ours decode": lambda: [rle.decode(code, data.height, data.width) for code in codes],
    }
    if is_installed("pycocotools", "coding by pycocotools", stage):
        from pycocotools import mask as coco

        ordered = [np.asfortranarray(mask, dtype=np.uint8) for mask in drawn]
        coco_codes = [coco.encode(mask) for mask in ordered]
        contestants["pycocotools encode"] = lambda: [coco.encode(mask) for mask in ordered]
        contestants["pycocotools decode"] = lambda: [coco.decode(code) for code in coco_codes]
    medians = interleaved_medians(contestants, rounds=5)
    figures = ", ".join(f"{name} {seconds / len(drawn) * 1e3:.3f} ms" for name, seconds in medians.items())
    stage.say(f"run-length codes, {len(drawn)} masks: {figures}")


if __name__ == "__main__":
    run_stage(main)
