"""The files of a run that the report is made from, read and checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from severstal import recipe
from severstal.artifacts import file_hash, fingerprint, read_json
from severstal.commands import command
from severstal.data import strips
from severstal.data.labels import Labels, read_labels
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import InputError
from severstal.experiment import Member, all_members
from severstal.paths import Paths
from severstal.postprocess import rules, tuned_values
from severstal.postprocess.tuned_values import TunedValues
from severstal.report.scores import read_strip_scores


@dataclass(frozen=True)
class Sources:
    """The content of a run's files.

    Attributes:
        maps: out-of-fold probability maps and true masks of the training strips.
        strip_scores: the Dice of every training strip (see :func:`severstal.report.scores.read_strip_scores`).
        submission: the record beside the submission.
        test_codes: run-length codes of the submission by test strip and class.
    """

    paths: Paths
    recipe: recipe.Recipe
    members: list[Member]
    data: TrainingSet
    values: TunedValues
    maps: EnsembleMaps
    strip_scores: pd.DataFrame
    submission: dict[str, Any]
    test_images: list[str]
    test_codes: Labels

    @classmethod
    def read(cls, paths: Paths) -> Sources:
        """Read everything.

        Raises:
            InputError: if a file is missing or damaged, or does not belong to the same run as the others.
        """
        run_recipe = recipe.read(paths)
        members = all_members(paths, run_recipe)
        data = read_training_set(paths)
        values = tuned_values.read(paths)
        strip_scores = read_strip_scores(paths)
        submission = read_json(paths.submission_report, command(paths, "predict"))
        _check_weights(members, values)
        _check_submission(paths, values, submission)
        maps = EnsembleMaps(data, members)
        if list(strip_scores.index) != [image for images in maps.folds for image in images]:
            raise InputError(f"{paths.strip_scores} is of another split: delete it, run `{command(paths, 'tune')}`")
        test_images = strips.listing(paths.test_images)
        codes = read_labels(paths.submission, data.height, data.width, test_images)
        return cls(paths, run_recipe, members, data, values, maps, strip_scores, submission, test_images, codes)


def _check_weights(members: list[Member], values: TunedValues) -> None:
    for member in members:
        if values.members.get(member.name) != member.weights_hash():
            raise InputError(f"{member.name} was trained after tuning: run `{command(member.paths, 'tune')}` again")


def _check_submission(paths: Paths, values: TunedValues, submission: dict[str, Any]) -> None:
    try:
        used = tuple(rules.parse(rule) for rule in submission["rules"])
        is_current = used == values.rules and submission["ensemble_weights"] == values.ensemble_weights
    except (KeyError, ValueError):
        is_current = False
    if not is_current:
        raise InputError(f"{paths.submission} was predicted before tuning: run `{command(paths, 'predict')}` again")
    if not paths.submission.exists() or submission.get("submission") != file_hash(paths.submission):
        raise InputError(
            f"{paths.submission} is not the file that {paths.submission_report} describes: run "
            f"`{command(paths, 'predict')}`"
        )


def artifact_inputs(paths: Paths) -> dict[str, Any]:
    """Hashes of everything that decides the report's content, its own code included."""
    files = [paths.recipe, paths.folds_csv, paths.postprocess, paths.strip_scores, paths.times]
    for member in all_members(paths, recipe.read(paths)):
        files += [member.files.config, member.files.log, *member.files.sidecars()]
    own = sorted(file for file in Path(__file__).parent.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {
        "run": {file.relative_to(paths.folds).as_posix(): file_hash(file) for file in files if file.exists()},
        "submission": file_hash(paths.submission_report) if paths.submission_report.exists() else None,
        "code": fingerprint([(file.name, file_hash(file)) for file in own]),
        "synthetic": paths.is_synthetic,
    }
