"""Time exact tuning at the competition's size, against the loops it replaces and against merely reading the maps.

Makes maps of 12,568 strips from the masks of --labels (about 2 GB in a temporary folder, a few minutes), then
prints every figure that the README gives for tuning. With trained folds, it also shows on their out-of-fold maps what
the middle of the plateau is worth against the peak.

    bash bin/benchmark_tuning.sh --labels input/train.csv
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from benchmarks.synthetic_maps import SyntheticMaps
from benchmarks.timing import timed
from severstal import recipe
from severstal.console import Stage, duration, parser, paths_of
from severstal.data.labels import CLASSES, read_labels
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import read_training_set
from severstal.errors import run_stage
from severstal.experiment import all_members
from severstal.hardware import processor
from severstal.paths import Paths
from severstal.postprocess.classifier import UNUSED
from severstal.postprocess.metric import dice, dice_of_counts
from severstal.postprocess.tuned_values import components
from severstal.tuning import component_tree, passes, search, selection

HEIGHT, WIDTH = 256, 1600
STRIPS = 12_568
COMPARED = 40  # maps that the loops are timed on
KEYS = [((1,), c, UNUSED) for c in range(len(CLASSES))]  # one encoder, every class, no head
CELLS_TIMED = 30  # of the public loop; it takes the better part of a minute for all 16,320 of one map


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--labels", type=Path, help="real masks, in the form of train.csv; default: that of --input")
    made.add_argument("--strips", type=int, default=STRIPS, help=f"default: {STRIPS}")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("benchmark of tuning", paths)
    workers = os.cpu_count() or 1
    stage.say(f"{processor()}, {workers} cores")
    labels = read_labels(options.labels or paths.train_csv, HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        source = SyntheticMaps(Path(folder), labels, options.strips, HEIGHT, WIDTH)
        stage.say(f"made the maps of {options.strips} strips in {duration(time.monotonic() - began)}")
        warm_up(source)
        against_loops(stage, source)
        at_full_size(stage, source, workers)
    if all(member.files.oof.exists() for member in trained(paths)) and trained(paths):
        plateau_against_peak(stage, paths, workers)
    stage.done()


def trained(paths: Paths) -> list:
    return all_members(paths, recipe.read(paths.recipe)) if paths.recipe.exists() else []


def warm_up(source: SyntheticMaps) -> None:
    """Have everything compiled, or loaded from the compiler's cache."""
    passes.sweep_blocks(source, [passes.Block(0, source.folds[0][:1])], KEYS, 1)


# -- against the loops -----------------------------------------------------------------------------


def against_loops(stage: Stage, source: SyntheticMaps) -> None:
    """All on one core, on the same maps, map by map in turn."""
    cv2.setNumThreads(1)
    rng, workspace = np.random.default_rng(0), component_tree.Workspace(HEIGHT, WIDTH)
    seconds = {"sweep": 0.0, "labels per threshold": 0.0, "labels per cell": 0.0}
    active = []
    for number in range(COMPARED):
        image = source.folds[0][number]
        defect = CLASSES[number % len(CLASSES)]
        probability = source.maps(0, image)[0][defect - 1]
        truth = source.truth(image).get(defect, np.zeros((HEIGHT, WIDTH), dtype=bool))
        active.append(np.count_nonzero(probability))
        grids = component_tree.Grids()
        seconds["sweep"] += timed(grids.add, workspace, probability, truth if truth.any() else None)
        table = np.empty_like(grids.component_area)
        seconds["labels per threshold"] += timed(labels_per_threshold, probability, truth, table)
        assert np.array_equal(grids.component_area, table)
        cells = list(zip(rng.integers(1, 256, CELLS_TIMED), rng.choice(component_tree.AREAS, CELLS_TIMED), strict=True))
        taken = sum(timed(labels_per_cell, probability, truth, *cell) for cell in cells)
        seconds["labels per cell"] += taken / CELLS_TIMED * grids.component_area.size
    cv2.setNumThreads(-1)
    stage.say(
        f"one core, {COMPARED} maps with {np.mean(active):,.0f} pixels above 0 on average, "
        f"{grids.component_area.shape[0]} x {grids.component_area.shape[1]} cells each, equal to the last bit:"
    )
    for name, total in seconds.items():
        note = f", from {CELLS_TIMED} cells of each map" if name == "labels per cell" else ""
        stage.say(f"  {name:<21} {total / COMPARED * 1e3:12,.2f} ms per map, {total / seconds['sweep']:9,.0f} x{note}")


def labels_per_threshold(probability: np.ndarray, truth: np.ndarray, table: np.ndarray) -> None:
    """The loop at its best: one labelling per threshold, all areas from one count."""
    pixels = np.count_nonzero(truth)
    for threshold in component_tree.THRESHOLDS:
        labels, areas = components(probability >= threshold)
        overlaps = np.bincount(labels[truth], minlength=len(areas))
        kept = areas[1:] >= component_tree.AREAS[:, None]
        table[threshold - 1] = dice_of_counts((kept * overlaps[1:]).sum(1), (kept * areas[1:]).sum(1) + pixels)


def labels_per_cell(probability: np.ndarray, truth: np.ndarray, threshold: int, area: int) -> float:
    """The loop as it is usually written: threshold, label, go through the components, score."""
    number, labels = cv2.connectedComponents((probability >= threshold).astype(np.uint8))
    kept = np.zeros(probability.shape, dtype=bool)
    for label in range(1, number):
        component = labels == label
        if np.count_nonzero(component) >= area:
            kept |= component
    return float(dice(kept, truth))


# -- at full size ----------------------------------------------------------------------------------


def at_full_size(stage: Stage, source: SyntheticMaps, workers: int) -> None:
    blocks = passes.blocks_of(source.folds)
    passes.sweep_blocks(source, blocks[:: len(blocks) // 4], KEYS, workers)
    small = peak_memory()
    floor = timed(read_all, source, blocks, workers)
    taken = timed(passes.sweep_blocks, source, blocks, KEYS, workers)
    memory = peak_memory()
    floor = (floor + timed(read_all, source, blocks, workers)) / 2
    strips = sum(map(len, source.folds))
    stage.say(f"{strips} strips, four classes each, {workers} threads:")
    stage.say(f"  read and decompress only   {floor:6.1f} s, {floor / 4:5.1f} s per class")
    stage.say(
        f"  the whole grids            {taken:6.1f} s, {taken / 4:5.1f} s per class, {taken / floor:.2f} x the reading"
    )
    stage.say(f"  peak memory                {memory:6.2f} GiB; {small:.2f} GiB after a few strips")
    taken = timed(search.tune, source, workers)
    stage.say(f"  all of tuning              {taken:6.1f} s: grids, choices, every strip cut and scored")


def read_all(source: SyntheticMaps, blocks: list[passes.Block], workers: int) -> None:
    def read(block: passes.Block) -> None:
        for image in block.images:
            source.maps(block.fold, image)

    Parallel(n_jobs=workers, prefer="threads")(delayed(read)(block) for block in blocks)


# -- on trained folds ------------------------------------------------------------------------------


def plateau_against_peak(stage: Stage, paths: Paths, workers: int) -> None:
    """Nested score with the best cell taken, and with the middle of the plateau, on real out-of-fold maps."""
    source = EnsembleMaps(read_training_set(paths), trained(paths))
    keys = [((1,) * len(source.encoders), c, UNUSED) for c in range(len(CLASSES))]
    swept = passes.sweep_blocks(source, passes.blocks_of(source.folds), keys, workers)
    stage.say(f"{paths.folds}: nested Dice of the classes, {sum(map(len, source.folds))} strips")
    for family in selection.FAMILIES:
        for name, pick in (("peak", selection.peak), ("middle", selection.middle)):
            scores = [
                selection.held_out(one, one.folds, family, pick).sum() / one.counts.sum() for one in swept.values()
            ]
            classes = "  ".join(f"{score:.4f}" for score in scores)
            stage.say(f"  {family:<9}  {name:<6}  mean {np.mean(scores):.4f}   {classes}")


def peak_memory() -> float:
    """Of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    run_stage(main)
