"""Choose the recipe and split the training strips into folds, once.

Reads input/train.csv and input/train_images/; writes folds/recipe.json and folds/folds.csv (frozen once written).

    bash bin/make_folds.sh --recipe kaggle --epochs 60
    bash bin/make_folds.sh --recipe path/to/mine.toml
    bash bin/make_folds.sh --recipe cpu --show-recipe     print every value and where it comes from, write nothing

Without --recipe the recipe in use stays and options change its values.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from severstal import recipe, recipe_files
from severstal.artifacts import replacing
from severstal.console import Stage, parser, paths_of
from severstal.data import near_duplicates, split, strips
from severstal.data.labels import CLASSES, read_labels
from severstal.data.tables import read_table
from severstal.data.training_set import read_training_set
from severstal.errors import InputError, run_stage
from severstal.experiment import all_members, experiment_lock, training_values
from severstal.hardware import core_count
from severstal.paths import Paths
from severstal.recipe_options import add_recipe_options, given_values, table
from severstal.recipe_values import SourcedValues
from severstal.training.changed_values import difference, refuse_changes
from severstal.training.job import Job

MAX_UNLABELLED = 0.8  # share of strips without a row; in the competition's training set it is 0.47
HALF_OF_RANGE = 128


def main() -> None:
    stage_parser = parser(__doc__)
    stage_parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help=f"{', '.join(recipe_files.names())}, or the path of a TOML file; default: the recipe in use, else sample "
        "for synthetic steel and kaggle for other strips",
    )
    add_recipe_options(stage_parser)
    options = stage_parser.parse_args()
    paths = paths_of(options)
    values = choose_values(paths, options.recipe, given_values(options))
    if options.show_recipe:
        check_encoders(recipe.build(values))
        print(*table(values), sep="\n")
        return
    make_folds(Stage("folds", paths), paths, values)


def make_folds(stage: Stage, paths: Paths, values: SourcedValues) -> None:
    chosen = recipe.build(values)
    changed = not paths.recipe.exists() or recipe.read(paths) != chosen
    images = strips.listing(paths.train_images)
    if changed:
        check_encoders(chosen)
    is_split = paths.folds_csv.exists()
    if is_split:
        check_frozen(paths, chosen, images)
        if changed:
            refuse_other_values(paths, chosen)
        stage.cached(paths.folds_csv)
    with experiment_lock(paths) if changed or not is_split else nullcontext():
        if not is_split:
            make_split(stage, paths, chosen, images)
        if changed:
            recipe.write(paths.recipe, chosen, values.sources)
            stage.wrote(paths.recipe)
    stage.say(f"recipe {chosen.name}: {chosen.num_folds} folds of {', '.join(chosen.encoders)}")
    stage.done()


def choose_values(paths: Paths, name: str | None, given: dict[str, Any]) -> SourcedValues:
    """The values of a recipe or, without its name, of the one in use or of the default; options replace them."""
    if name is None and paths.recipe.exists():
        recipe.read(paths)  # a damaged file is reported before an option's value
        values = recipe.read_values(paths)
    else:
        values = recipe_files.load(name or default_recipe(paths))
    return values.with_options(given, "make_folds.sh")


def default_recipe(paths: Paths) -> str:
    """Without any strips, bin/run_all.sh draws the synthetic data set."""
    return "sample" if paths.is_synthetic or not paths.train_images.exists() else "kaggle"


def check_encoders(chosen: recipe.Recipe) -> None:
    """Check the names of encoders; those of the project's own recipes need no import of torch, which takes seconds."""
    unknown = set(chosen.encoders).difference(*(recipe.named(name).encoders for name in recipe_files.names()))
    if unknown:
        from severstal.models.encoder_names import check_encoder

        for encoder in sorted(unknown):
            check_encoder(encoder)


def refuse_other_values(paths: Paths, chosen: recipe.Recipe) -> None:
    """Refuse values that training would refuse, before the recipe is replaced.

    Networks that differ from the recipe in use already were trained with options of train.sh: they are left aside.

    Raises:
        InputError: if a network was trained with the values of the recipe in use, and the new ones are others.
    """
    if not paths.recipe.exists():
        return
    before = recipe.read(paths)
    members = [member for member in all_members(paths, chosen) if member.files.config.exists()]
    members = [
        member
        for member in members
        if training_values(member.config().recipe) == training_values(before.for_encoder(member.encoder))
    ]
    if members:
        data = read_training_set(paths)
        keep = f"give the same command without these values; {paths.recipe} is as it was"
        jobs = [Job.of(member, data, chosen, {}) for member in members]
        refuse_changes([job for job in jobs if (found := difference(job)) and found.values], keep)


def check_frozen(paths: Paths, chosen: recipe.Recipe, images: list[str]) -> None:
    """The split on disk must be of these images and of the recipe's number of folds."""
    frame = split.read(paths)
    split.check_covers(frame, paths.folds_csv, images)
    split.check_count(frame, paths.folds_csv, chosen.num_folds)


def make_split(stage: Stage, paths: Paths, chosen: recipe.Recipe, images: list[str]) -> None:
    stage.read(paths.train_csv, f"{len(images)} strips")
    height, width, groups = near_duplicates.scan(paths.train_images, images, core_count())
    labels = read_labels(paths.train_csv, height, width, images)
    if not any(labels.values()):
        raise InputError(f"{paths.train_csv} holds no defect of any strip, so there is nothing to learn: complete it")
    frame = split.assign_folds(labels, groups, chosen.num_folds, chosen.seed)
    with replacing(paths.folds_csv) as temporary:
        frame.to_csv(temporary, index=False)
    stage.wrote(paths.folds_csv)
    duplicates = len(groups) - len(set(groups))
    clean = sum(not codes for codes in labels.values())
    counts = ", ".join(f"{sum(d in codes for codes in labels.values())} of class {d}" for d in CLASSES)
    stage.say(f"{height}x{width} pixels; {clean} clean strips, {counts}; {duplicates} near-duplicates kept together")
    for warning in (*split.describe_gaps(frame), *describe_doubts(paths, images)):
        stage.say(f"warning: {warning}")


def describe_doubts(paths: Paths, images: list[str]) -> list[str]:
    """What about strips and labels may not be meant, a sentence each."""
    lines = []
    unlabelled = len(images) - len({image for image, _, _ in read_table(paths.train_csv).rows})
    if unlabelled > MAX_UNLABELLED * len(images):
        lines.append(
            f"{unlabelled} of {len(images)} training strips have no row in {paths.train_csv.name}, so they are learned "
            f"as clean: {strips.UNLABELLED}"
        )
    brightest = strips.brightest_of_deep(paths.train_images, images)
    if brightest is not None and brightest < HALF_OF_RANGE:
        lines.append(
            f"the strips have more than 8 bits per pixel, and their brightest level is {brightest} of 255, as of a "
            "camera with fewer bits than the file: multiply all levels by one factor before training and prediction "
            "(docs/your-own-strips.md, Images), or details are lost"
        )
    return lines


if __name__ == "__main__":
    run_stage(main)
