"""Time the loading of training crops against the usual implementation: samples per second on the same cores.

Both draw the same strips and crop to the recipe's size. They are measured alternately, round by round; the medians
are compared.

    bash bin/benchmark_loader.sh --input path/to/neu-strips --folds folds/neu
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.loader_baseline import BaselineDataset
from benchmarks.timing import interleaved_medians
from severstal import recipe
from severstal.console import Stage, parser, paths_of
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import run_stage
from severstal.hardware import core_count, processor
from severstal.recipe import Recipe
from severstal.training.crops import CropDataset
from severstal.training.sampling import ClassSampler

BATCH_SIZE = 16


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=480, help="per round; default 480")
    arguments.add_argument("--rounds", type=int, default=7, help="default 7")
    options = arguments.parse_args()
    paths = paths_of(options)
    stage = Stage("benchmark of the loader", paths)
    changes = {"samples_per_epoch": options.samples, "batch_size": BATCH_SIZE}
    chosen = recipe.read(paths).model_copy(update=changes)
    data, cores = read_training_set(paths), core_count()
    stage.say(f"{processor()}, {cores} cores; crops of {chosen.crop_height}x{chosen.crop_width}")
    torch.set_num_threads(1)
    datasets = {
        "baseline": BaselineDataset(data, min(chosen.crop_height, data.height), min(chosen.crop_width, data.width)),
        "ours": CropDataset(TrainingStrips(data), chosen),  # decodes the strips unless that is done already
    }
    for num_workers in dict.fromkeys((0, cores)):
        compare(stage, datasets, data, chosen, num_workers, options.rounds)
    stage.done()


def compare(
    stage: Stage, datasets: dict[str, Dataset], data: TrainingSet, chosen: Recipe, num_workers: int, rounds: int
) -> None:
    """Time each data set ``rounds`` times, after one round that starts the loader processes and is not counted."""
    loaders = {name: build_loader(dataset, data, chosen, num_workers) for name, dataset in datasets.items()}
    epochs: dict[str, Callable[[], object]] = {name: partial(load_all, loader) for name, loader in loaders.items()}
    samples = len(loaders["ours"]) * BATCH_SIZE
    rates = {name: samples / seconds for name, seconds in interleaved_medians(epochs, rounds).items()}
    where = f"{num_workers} loader processes" if num_workers else "in the training process"
    stage.say(
        f"{where}: {rates['ours']:.0f} samples/s, baseline {rates['baseline']:.0f}: "
        f"{rates['ours'] / rates['baseline']:.1f} x ({rounds} interleaved rounds of {samples})"
    )


def build_loader(dataset: Dataset, data: TrainingSet, chosen: Recipe, num_workers: int) -> DataLoader:
    sampler = ClassSampler(data, sorted(data.labels), chosen)
    return DataLoader(
        dataset,
        batch_size=BATCH_SIZE,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def load_all(loader: DataLoader) -> None:
    """Load every batch and drop it."""
    for _ in loader:
        pass


if __name__ == "__main__":
    run_stage(main)
