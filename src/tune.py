"""Choose how the ensemble's maps are blended and cut, per class, on its out-of-fold maps.

Reads input/train.csv, folds/folds.csv and every folds/<encoder>/<fold>/oof.npz; writes folds/postprocess.json, the
tuned grids as folds/tuning/class_<n>.png and .csv, and every strip's Dice as folds/tuning/strips.csv.

    bash bin/tune.sh
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from severstal import recipe
from severstal.artifacts import Artifact, replacing
from severstal.console import Stage, parser, paths_of
from severstal.data import split
from severstal.data.labels import CLASSES
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import run_stage
from severstal.experiment import all_members
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.classifier import CANDIDATES

METHOD = 7  # of tuning: raised when the same maps would give other values, so that old values are built again
KEYS = ("mean", *map(str, CLASSES))


def main() -> None:
    options = parser(__doc__).parse_args()
    paths = paths_of(options)
    stage = Stage("tune", paths)
    chosen = recipe.read(paths.recipe)
    data = read_training_set(paths)
    split.check_count(data.split, paths.folds_csv, chosen.num_folds)
    source = EnsembleMaps(data, all_members(paths, chosen))
    stage.read(f"out-of-fold maps of {len(source.fold_maps)} networks over {len(data.labels)} strips", paths.train_csv)
    artifact = values_artifact(paths, data, source)
    if not stage.is_cached(artifact):
        tune(stage, paths, source, artifact)
    print_scores(stage, tuned_values.read(paths.postprocess))
    stage.done()


def values_artifact(paths: Paths, data: TrainingSet, source: EnsembleMaps) -> Artifact:
    """The tuned values, their pictures and tables, with everything that they are chosen from."""
    inputs = {
        "training_set": data.fingerprint,
        "maps": {f"{encoder} fold {fold}": maps.meta for (encoder, fold), maps in source.fold_maps.items()},
    }
    grids = [file for defect in CLASSES for file in (paths.grid_picture(defect), paths.grid_table(defect))]
    tables = [paths.strip_scores, *([paths.classifier_table] if source.has_heads else [])]
    return Artifact(paths.postprocess, inputs, METHOD, (*grids, *tables))


def tune(stage: Stage, paths: Paths, source: EnsembleMaps, artifact: Artifact) -> None:
    from severstal.tuning import pictures, search  # the compiler and the plots: seconds that an up-to-date stage saves

    strips = sum(map(len, source.folds))
    result = search.tune(source, os.cpu_count() or 1)
    for defect, blocks, rule in zip(CLASSES, result.blocks, result.values.rules, strict=True):
        grid = pictures.grid_of(blocks, rule)
        with replacing(paths.grid_picture(defect)) as picture:
            pictures.draw(picture, grid, f"class {defect}, {strips} strips")
        with replacing(paths.grid_table(defect)) as table:
            pictures.write_table(table, grid)
    with replacing(paths.strip_scores) as table:
        strip_scores(source, result.dices).to_csv(table, index=False)
    if result.heads is not None:
        with replacing(paths.classifier_table) as table:
            head_scores(result.heads).to_csv(table, index=False)
    scores = {
        name: dict(zip(KEYS, [float(dices.mean()), *dices.mean(axis=0).tolist()], strict=True))
        for name, dices in result.dices.items()
    }
    values = tuned_values.Tuning(
        members={f"{encoder} fold {fold}": maps.meta["weights"] for (encoder, fold), maps in source.fold_maps.items()},
        ensemble_weights=dict(zip(source.encoders, result.values.ensemble_weights, strict=True)),
        rules=result.values.rules,
        scores=scores,
        intervals=search.intervals(result.dices),
        strips=strips,
        held_out=tuple(
            tuned_values.Choice(
                ensemble_weights=dict(zip(source.encoders, one.ensemble_weights, strict=True)), rules=one.rules
            )
            for one in result.nested
        ),
    )
    artifact.write_record(values.model_dump(exclude_none=True))
    stage.wrote(paths.postprocess, paths.grid_picture(1).parent)


def strip_scores(source: EnsembleMaps, dices: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row per strip: its fold, and its Dice by each choice of values and class, as ``nested_3``."""
    frame = pd.DataFrame(
        [(image, fold) for fold, images in enumerate(source.folds) for image in images], columns=["ImageId", "fold"]
    )
    for name, one in dices.items():
        frame[[f"{name}_{defect}" for defect in CLASSES]] = one
    return frame


def head_scores(heads: np.ndarray) -> pd.DataFrame:
    """A row per use of the classification head: held-out Dice of the whole-mask rule, per class."""
    frame = pd.DataFrame(heads, columns=[f"class_{defect}" for defect in CLASSES])
    frame.insert(
        0, "use", [one.use if one.min_probability is None else f"{one.use} {one.min_probability}" for one in CANDIDATES]
    )
    return frame


def print_scores(stage: Stage, values: tuned_values.Tuning) -> None:
    stage.say("Dice        mean     class 1  class 2  class 3  class 4")
    for name, score in values.scores.items():
        stage.say(f"{name:<10}  " + "  ".join(f"{score[key]:.5f}" for key in KEYS))
    low, high = values.intervals["nested"]["mean"]
    stage.say(f"nested is {low:.4f} to {high:.4f} in 95 % of resamples of the {values.strips} strips")
    for defect, rule in enumerate(values.rules, start=1):
        stage.say(f"class {defect}: {rule}; {gain(values, str(defect))}")
    if len(set(values.ensemble_weights.values())) > 1:
        stage.say("blend: " + ", ".join(f"{encoder} {weight}" for encoder, weight in values.ensemble_weights.items()))
    elif len(values.ensemble_weights) > 1:
        stage.say("blend: all encoders alike; no other weights were better by more than noise")


def gain(values: tuned_values.Tuning, key: str) -> str:
    """What tuning is worth on strips that it was not done on, in words."""
    low, high = values.intervals["gain"][key]
    mean = values.scores["nested"][key] - values.scores["default"][key]
    told = f"{mean:+.4f} against the default ({low:+.4f} to {high:+.4f})"
    return f"tuning gains {told}" if low > 0 else f"no sure gain: {told}"


if __name__ == "__main__":
    run_stage(main)
