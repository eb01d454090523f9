"""Choose threshold and minimum area per class on the out-of-fold maps of the whole ensemble.

Reads input/train.csv, folds/folds.csv and every folds/<encoder>/<fold>/oof.npz; writes folds/postprocess.json.

    bash bin/tune.sh
"""

from __future__ import annotations

import os

import numpy as np

from severstal import folds, oof, postprocess, recipe, tuning
from severstal.artifacts import fingerprint, write_json
from severstal.command_line import parser, paths_of
from severstal.data import TrainingSet, read_training_set
from severstal.ensemble import mean_map
from severstal.errors import InputError, run_stage
from severstal.labels import masks
from severstal.member import Member, members
from severstal.stage import Stage


def main() -> None:
    options = parser(__doc__).parse_args()
    paths = paths_of(options)
    stage = Stage("tune", paths)
    chosen = recipe.read(paths.recipe)
    data = read_training_set(paths)
    folds.check_count(data.split, paths.folds_csv, chosen.folds)
    team = members(paths, chosen)
    stores = {member: open_store(member, data) for member in team}
    stage.read(f"out-of-fold maps of {len(team)} networks over {len(data.labels)} strips", paths.train_csv)
    made_from = identity(data, stores)
    if paths.postprocess.exists() and postprocess.read(paths.postprocess).fingerprint == made_from:
        stage.up_to_date(paths.postprocess)
    else:
        result = tune(data, chosen, stores)
        write_json(paths.postprocess, as_tuning(result, made_from, stores, len(data.labels)).model_dump())
        stage.wrote(paths.postprocess)
    print_scores(stage, postprocess.read(paths.postprocess))
    stage.done()


def open_store(member: Member, data: TrainingSet) -> oof.Store:
    """A member's maps, checked to be of its weights and to hold exactly the fold's strips."""
    store = oof.Store(member.files.oof, member.remake)
    expected = data.images(member.fold, held_out=True)
    if sorted(store.images) != sorted(expected):
        differing = sorted(set(store.images) ^ set(expected))[0]
        raise InputError(f"{store.path} and fold {member.fold} differ in {differing}: delete it, run `{member.remake}`")
    if store.meta.get("weights") != member.weights_hash():
        raise InputError(f"{store.path} is not of the weights beside it: delete it and run `{member.remake}`")
    return store


def identity(data: TrainingSet, stores: dict[Member, oof.Store]) -> str:
    """Fingerprint of everything that the values are chosen from."""
    made_of = [(member.encoder, member.fold, store.meta) for member, store in stores.items()]
    return fingerprint(data.fingerprint, made_of, tuning.THRESHOLDS.tolist(), tuning.MIN_AREAS.tolist())


def tune(data: TrainingSet, chosen: recipe.Recipe, stores: dict[Member, oof.Store]) -> tuning.Tuned:
    sums, counts = [], []
    for fold in range(chosen.folds):
        of_fold = [store for member, store in stores.items() if member.fold == fold]
        images = data.images(fold, held_out=True)
        sums.append(
            tuning.sums_of_fold(
                images,
                lambda image, of_fold=of_fold: mean_map([store[image] for store in of_fold]),
                lambda image: masks(data.labels[image], data.height, data.width),
                os.cpu_count() or 1,
            )
        )
        counts.append(len(images))
    return tuning.tune(np.stack(sums), counts)


def as_tuning(result: tuning.Tuned, made_from: str, stores: dict[Member, oof.Store], strips: int) -> postprocess.Tuning:
    scores = {name: getattr(result, name).as_json() for name in postprocess.SCORES}
    hashes = {member.name: store.meta["weights"] for member, store in stores.items()}
    return postprocess.Tuning(fingerprint=made_from, members=hashes, cuts=result.cuts, scores=scores, strips=strips)


def print_scores(stage: Stage, values: postprocess.Tuning) -> None:
    stage.say("Dice        mean     class 1  class 2  class 3  class 4")
    for name, score in values.scores.items():
        stage.say(f"{name:<10}  " + "  ".join(f"{score[key]:.5f}" for key in ("mean", "1", "2", "3", "4")))
    for defect, cut in enumerate(values.cuts, start=1):
        stage.say(f"class {defect}: pixels from {cut.threshold}/255, components from {cut.min_area} px")


if __name__ == "__main__":
    run_stage(main)
