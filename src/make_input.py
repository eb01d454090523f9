"""Write a synthetic data set in the competition's form, for a machine that does not have Kaggle's files.

Reads nothing. Writes ``input/`` (train_images, train.csv, test_images, sample_submission.csv, test_truth.csv
and the marker SYNTHETIC.json); a folder that holds data already is left as it is.

    bash bin/make_input.sh
    bash bin/make_input.sh --train 320 --seed 1 --input other
    bash bin/make_input.sh --recipe synthetic --input synthetic      as many, and as varied, as a recipe asks for
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from severstal import console, recipe
from severstal.commands import short
from severstal.errors import InputError, run_stage
from severstal.paths import Paths
from severstal.recipe_values import option
from severstal.run_lock import run_lock
from severstal.synthetic import dataset
from severstal.synthetic.variety import VARIETIES

OF_RECIPE = {"train": "synthetic_strips", "variety": "synthetic_variety"}
DEFAULTS: dict[str, Any] = {"test": 192, "seed": 0} | {
    name: recipe.Recipe.model_fields[field].default for name, field in OF_RECIPE.items()
}


def main() -> None:
    options = parse_options()
    paths = console.paths_of(options)
    stage = console.Stage("input", paths)
    requested = requested_values(options)
    values = DEFAULTS | requested
    if dataset.is_unfinished(paths.input) or not dataset.existing_data(paths.input):
        with run_lock(paths.input):
            fill(stage, paths, values, bool(requested), options.num_workers)
    else:
        stage.say(describe_existing(paths.input, values, bool(requested)))
    stage.done(keep_time=False)


def fill(stage: console.Stage, paths: Paths, values: dict[str, Any], is_requested: bool, workers: int) -> None:
    """Finish what an interrupted run drew, or draw a set."""
    dataset.finish_interrupted(paths.input)
    if dataset.existing_data(paths.input):
        stage.say(describe_existing(paths.input, values, is_requested))
        return
    dataset.write(paths.input, **values, workers=workers)
    stage.wrote(paths.input)
    stage.say(f"synthetic steel, {describe(values)}")
    stage.say("these are not the competition's strips: scores on them are scores on synthetic steel")


def parse_options() -> argparse.Namespace:
    parser = console.parser(__doc__)
    for name, help_text in (("train", "train strips"), ("test", "test strips"), ("seed", "seed")):
        names = [f"--{name}", option(OF_RECIPE[name])] if name in OF_RECIPE else [f"--{name}"]
        parser.add_argument(*names, dest=name, type=int, metavar="N", help=f"{help_text} (default {DEFAULTS[name]})")
    parser.add_argument(
        "--variety",
        option(OF_RECIPE["variety"]),
        dest="variety",
        choices=list(VARIETIES),
        help="plain (default): what the scores of the recipe sample stand for; wide: more textures, light and defects, "
        "for networks that shall work on real strips",
    )
    parser.add_argument("--recipe", metavar="NAME|FILE", help="draw the strips that a recipe asks for")
    parser.add_argument("--num-workers", type=int, default=2, metavar="N", help="processes (default 2)")
    return parser.parse_args()


def requested_values(options: argparse.Namespace) -> dict[str, Any]:
    """The values that the command line asks for: options, and those of a recipe that differ from the defaults."""
    found: dict[str, Any] = {}
    if options.recipe:
        chosen = recipe.named(options.recipe)
        of_recipe = {name: getattr(chosen, field) for name, field in OF_RECIPE.items()}
        found = {name: value for name, value in of_recipe.items() if value != DEFAULTS[name]}
    return found | {name: value for name in DEFAULTS if (value := getattr(options, name)) is not None}


def describe_existing(folder: Path, values: dict[str, Any], is_requested: bool) -> str:
    """A line about a folder that holds data, which is never overwritten.

    Raises:
        InputError: if it holds synthetic steel of other values than the command line asks for.
    """
    artifact = dataset.artifact(folder, **values)
    if not artifact.record.exists():
        return f"{folder} holds data ({', '.join(dataset.existing_data(folder))}): left as it is"
    differences = artifact.differences()
    if not differences:
        return f"cached {short(folder)}: synthetic steel, {describe(values)}"
    other = f"{folder} holds other synthetic steel ({'; '.join(differences)})"
    cure = "delete the folder's content to draw it again"
    if is_requested:
        raise InputError(f"{other}: {cure}, or choose another --input")
    return f"{other}: left as it is; {cure}"


def describe(values: dict[str, Any]) -> str:
    return f"{values['train']} train and {values['test']} test strips, {values['variety']}, seed {values['seed']}"


if __name__ == "__main__":
    run_stage(main)
