"""Time exact tuning at the competition's size: against libraries that build component trees, and against reading.

Makes maps of 12,568 strips from the masks of --labels (about 2 GB in a temporary folder, a few minutes), then prints
every figure that the documentation gives for tuning; libraries that are not installed are left out. With trained folds,
it also compares the middle of the plateau with the peak on their out-of-fold maps.

    bash bin/benchmark_tuning.sh --labels input/train.csv
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from benchmarks import tuning_baselines
from benchmarks.baseline_packages import is_installed
from benchmarks.synthetic_maps import SyntheticMaps
from benchmarks.timing import timed
from severstal import recipe
from severstal.console import Stage, duration, parser, path, paths_of
from severstal.data.labels import CLASSES, read_labels
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import read_training_set
from severstal.errors import run_stage
from severstal.experiment import Member, all_members
from severstal.hardware import core_count, processor
from severstal.paths import Paths
from severstal.postprocess.classifier import UNUSED
from severstal.postprocess.rules import RULES, ComponentArea
from severstal.tuning import search, selection
from severstal.tuning.blocks import Block, deal
from severstal.tuning.component_tree import TreeWorkspace, statistics_of
from severstal.tuning.grids import Key, grids_of

HEIGHT, WIDTH = 256, 1600
STRIPS = 12_568
COMPARED = 40  # maps that the libraries are timed on
Contestant = Callable[[np.ndarray, np.ndarray], np.ndarray]  # a map and its truth to the component-area grid
KEYS: list[Key] = [((1,), c, UNUSED) for c in range(len(CLASSES))]  # one encoder, every class, no classifier
OURS = "this repository"
BASELINES: dict[str, tuple[str, Contestant]] = {  # with the module that each needs
    "Higra's component tree": ("higra", tuning_baselines.higra_tree),
    "scikit-image's max-tree": ("skimage", tuning_baselines.skimage_area_openings),
    "OpenCV, a labelling per threshold": ("cv2", tuning_baselines.opencv_labels),
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--labels", type=path, help="real masks, in the form of train.csv; default: that of --input")
    arguments.add_argument("--strips", type=int, default=STRIPS, help=f"default: {STRIPS}")
    options = arguments.parse_args()
    paths = paths_of(options)
    stage = Stage("benchmark of tuning", paths)
    workers = core_count()
    stage.say(f"{processor()}, {workers} cores")
    labels = read_labels(options.labels or paths.train_csv, HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        source = SyntheticMaps(Path(folder), labels, options.strips, HEIGHT, WIDTH)
        compare_with_libraries(stage, source)
        time_full_size(stage, source, workers)
    members = trained_members(paths)
    if members:
        compare_plateau_with_peak(stage, paths, members, workers)
    stage.done()


# -- against libraries -----------------------------------------------------------------------------


def compare_with_libraries(stage: Stage, source: SyntheticMaps) -> None:
    """The component-area grid of the same maps on one core, each map by all in turn; all grids must be equal."""
    cv2.setNumThreads(1)
    workspace = TreeWorkspace(HEIGHT, WIDTH)

    def ours(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
        grid = ComponentArea.empty_grid()
        statistics_of(workspace, probability, truth).add_component_dice(grid)
        return grid

    contestants: dict[str, Contestant] = {OURS: ours} | installed_baselines(stage)
    time_in_turn(contestants, *map_and_truth(source, 0))  # the first calls compile and load
    maps = [map_and_truth(source, number) for number in range(COMPARED)]
    times = [time_in_turn(contestants, *of_map) for of_map in tqdm(maps, "maps", leave=False, disable=None)]
    cv2.setNumThreads(-1)
    pixels = np.median([np.count_nonzero(probability) for probability, _ in maps])
    thresholds, areas = ComponentArea.empty_grid().shape
    stage.say(f"{thresholds} thresholds x {areas} minimum areas of a component, one core, grids equal to the last bit;")
    stage.say(f"medians over {COMPARED} maps, half of them with more than {pixels:,.0f} pixels above 0:")
    for name in contestants:
        milliseconds = np.median([of_map[name] for of_map in times]) * 1e3
        ratio = np.median([of_map[name] / of_map[OURS] for of_map in times])
        stage.say(f"  {name:<34} {milliseconds:10,.2f} ms per map, {ratio:8,.1f} x")


def installed_baselines(stage: Stage) -> dict[str, Contestant]:
    return {name: work for name, (module, work) in BASELINES.items() if is_installed(module, name, stage)}


def time_in_turn(contestants: dict[str, Contestant], probability: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Seconds that each takes for one map.

    Raises:
        AssertionError: if one of them gives another grid.
    """
    seconds, grids = {}, {}
    for name, contestant in contestants.items():
        began = time.perf_counter()
        grids[name] = contestant(probability, truth)
        seconds[name] = time.perf_counter() - began
    for name, grid in grids.items():
        if not np.array_equal(grid, grids[OURS]):
            raise AssertionError(f"the grid of {name} is another one")
    return seconds


def map_and_truth(source: SyntheticMaps, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A map ``uint8 [H, W]`` of each class in turn, and its truth, bool ``[H, W]``."""
    image, defect = source.folds[0][number], CLASSES[number % len(CLASSES)]
    truth = source.truth(image).get(defect, np.zeros((HEIGHT, WIDTH), dtype=bool))
    return source.maps(0, image)[0][defect - 1], truth


# -- at full size ----------------------------------------------------------------------------------


def time_full_size(stage: Stage, source: SyntheticMaps, workers: int) -> None:
    """All grids of all rules over all strips, and merely reading the maps before and after."""
    blocks = deal(source.folds)
    grids_of(source, blocks[:: len(blocks) // 4], KEYS, workers)
    memory_of_few = peak_memory()
    before = timed(read_all, source, blocks, workers)
    taken = timed(grids_of, source, blocks, KEYS, workers)
    memory = peak_memory()
    reading = (before + timed(read_all, source, blocks, workers)) / 2
    strips = sum(map(len, source.folds))
    stage.say(f"{strips} strips, four classes each, {workers} threads:")
    stage.say(f"  read and decompress only   {reading:6.1f} s, {reading / 4:5.1f} s per class")
    stage.say(f"  the grids of all rules     {taken:6.1f} s, {taken / 4:5.1f} s per class, {taken / reading:.2f} x")
    stage.say(f"  peak memory                {memory:6.2f} GiB; {memory_of_few:.2f} GiB after a few strips")
    stage.say(f"  all of tuning              {duration(timed(search.tune, source, workers))}, every strip scored")


def read_all(source: SyntheticMaps, blocks: list[Block], workers: int) -> None:
    def read(block: Block) -> None:
        for image in block.images:
            source.maps(block.fold, image)

    Parallel(n_jobs=workers, prefer="threads")(delayed(read)(block) for block in blocks)


def peak_memory() -> float:
    """Of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


# -- on trained folds ------------------------------------------------------------------------------


def trained_members(paths: Paths) -> list[Member]:
    """The ensemble of --folds, or nothing where it is not fully trained."""
    members = all_members(paths, recipe.read(paths)) if paths.recipe.exists() else []
    return members if all(member.files.oof.exists() for member in members) else []


def compare_plateau_with_peak(stage: Stage, paths: Paths, members: list[Member], workers: int) -> None:
    """Nested score with the best cell, and with the middle of the plateau, on real out-of-fold maps."""
    source = EnsembleMaps(read_training_set(paths), members)
    keys: list[Key] = [((1,) * len(source.encoders), c, UNUSED) for c in range(len(CLASSES))]
    by_class = list(grids_of(source, deal(source.folds), keys, workers).values())
    stage.say(f"{paths.folds}: nested Dice of the classes, {sum(map(len, source.folds))} strips")
    for rule in RULES:
        for name, pick in (("peak", selection.peak), ("middle", selection.middle)):
            sums = [selection.cross_validated(blocks, rule, pick).sum() for blocks in by_class]
            scores = [total / blocks.counts.sum() for total, blocks in zip(sums, by_class, strict=True)]
            classes = "  ".join(f"{score:.4f}" for score in scores)
            stage.say(f"  {rule.__name__:<13}  {name:<6}  mean {np.mean(scores):.4f}   {classes}")


if __name__ == "__main__":
    run_stage(main)
