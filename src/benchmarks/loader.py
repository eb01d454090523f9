"""Time the loading of training samples against the usual way: samples per second on the same cores.

Both draw the same strips and crop to the recipe's size; they take turns, round by round, and medians are printed.

    bash bin/benchmark_loader.sh --input path/to/neu-strips --folds folds/neu
"""

from __future__ import annotations

import os

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.loader_baseline import BaselineDataset
from benchmarks.timing import interleaved_medians
from severstal import recipe
from severstal.console import Stage, parser, paths_of
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import run_stage
from severstal.hardware import processor
from severstal.recipe import Recipe
from severstal.training.crops import CropDataset
from severstal.training.sampling import ClassSampler

BATCH = 16


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--samples", type=int, default=480, help="per round; default 480")
    made.add_argument("--rounds", type=int, default=7, help="default 7")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("benchmark of the loader", paths)
    chosen = recipe.read(paths.recipe).model_copy(update={"samples_per_epoch": options.samples, "batch_size": BATCH})
    data, cores = read_training_set(paths), os.cpu_count() or 1
    stage.say(f"{processor()}, {cores} cores; crops of {chosen.crop_height}x{chosen.crop_width}")
    torch.set_num_threads(1)
    source = TrainingStrips(data)  # decodes once, if that is not done yet
    contestants = {
        "usual": BaselineDataset(data, min(chosen.crop_height, data.height), min(chosen.crop_width, data.width)),
        "ours": CropDataset(source, chosen),
    }
    for workers in dict.fromkeys((0, cores)):
        compare(stage, contestants, data, chosen, workers, options.rounds)
    stage.done()


def compare(
    stage: Stage, contestants: dict[str, Dataset], data: TrainingSet, chosen: Recipe, workers: int, rounds: int
) -> None:
    """Loaders are made once: their processes, where there are any, are started in the round that warms up."""
    loaders = {name: loader(made, data, chosen, workers) for name, made in contestants.items()}
    passes = {name: lambda loading=loading: [None for _ in loading] for name, loading in loaders.items()}
    samples = len(loaders["ours"]) * BATCH
    rates = {name: samples / seconds for name, seconds in interleaved_medians(passes, rounds).items()}
    where = f"{workers} loader processes" if workers else "in the training's own process"
    stage.say(
        f"{where}: {rates['ours']:.0f} samples/s, the usual way {rates['usual']:.0f}: "
        f"{rates['ours'] / rates['usual']:.1f} x ({rounds} interleaved rounds of {samples})"
    )


def loader(made: Dataset, data: TrainingSet, chosen: Recipe, workers: int) -> DataLoader:
    sampler = ClassSampler(data, sorted(data.labels), chosen)
    return DataLoader(made, batch_size=BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)


if __name__ == "__main__":
    run_stage(main)
