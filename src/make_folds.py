"""Choose the recipe and split the training strips into folds, once.

Reads input/train.csv and input/train_images/; writes folds/recipe.json and folds/folds.csv (frozen once made).

    bash bin/make_folds.sh --recipe kaggle
"""

from __future__ import annotations

import os

from severstal import recipe
from severstal.artifacts import replacing, write_json
from severstal.console import Stage, add_recipe_values, parser, paths_of, recipe_values
from severstal.data import near_duplicates, split, strips
from severstal.data.labels import CLASSES, read_labels
from severstal.errors import run_stage
from severstal.paths import Paths


def main() -> None:
    made = parser(__doc__)
    made.add_argument(
        "--recipe", help=f"one of {', '.join(recipe.RECIPES)}; default: sample on synthetic steel, else kaggle"
    )
    add_recipe_values(made)
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("folds", paths)
    chosen = choose_recipe(paths, options.recipe, recipe_values(options))
    changed = not paths.recipe.exists() or recipe.read(paths.recipe) != chosen
    images = strips.listing(paths.train_images)
    if changed:
        check_encoders(chosen)
    if paths.folds_csv.exists():
        check_frozen(paths, chosen, images)
        stage.cached(paths.folds_csv)
    else:
        make_split(stage, paths, chosen, images)
    if changed:
        write_json(paths.recipe, chosen.model_dump())
        stage.wrote(paths.recipe)
    stage.say(f"recipe {chosen.name}: {chosen.num_folds} folds of {', '.join(chosen.encoders)}")
    stage.done()


def choose_recipe(paths: Paths, name: str | None, values: dict) -> recipe.Recipe:
    """The recipe asked for; without one, the recipe already in use, or the one that suits the data."""
    in_use = recipe.read(paths.recipe) if paths.recipe.exists() else None
    if in_use and name in (None, in_use.name):
        return recipe.build(in_use.model_dump() | values)
    return recipe.named(name or ("sample" if paths.is_synthetic else "kaggle"), values)


def check_encoders(chosen: recipe.Recipe) -> None:
    unknown = set(chosen.encoders).difference(*(values["encoders"] for values in recipe.RECIPES.values()))
    if unknown:
        from severstal.models.encoders import (
            check_encoder,  # imports torch: seconds that the table's own encoders need not
        )

        for encoder in sorted(unknown):
            check_encoder(encoder)


def check_frozen(paths: Paths, chosen: recipe.Recipe, images: list[str]) -> None:
    """The split on disk must be of these images and of the recipe's number of folds."""
    frame = split.read(paths.folds_csv)
    split.check_covers(frame, paths.folds_csv, images)
    split.check_count(frame, paths.folds_csv, chosen.num_folds)


def make_split(stage: Stage, paths: Paths, chosen: recipe.Recipe, images: list[str]) -> None:
    stage.read(paths.train_csv, f"{len(images)} strips")
    height, width, groups = near_duplicates.scan(paths.train_images, images, os.cpu_count() or 1)
    labels = read_labels(paths.train_csv, height, width, images)
    frame = split.assign_folds(labels, groups, chosen.num_folds, chosen.seed)
    with replacing(paths.folds_csv) as temporary:
        frame.to_csv(temporary, index=False)
    stage.wrote(paths.folds_csv)
    duplicates = len(groups) - len(set(groups))
    clean = sum(not codes for codes in labels.values())
    counts = ", ".join(f"{sum(d in codes for codes in labels.values())} of class {d}" for d in CLASSES)
    stage.say(f"{height}x{width} pixels; {clean} clean strips, {counts}; {duplicates} near-duplicates kept together")


if __name__ == "__main__":
    run_stage(main)
