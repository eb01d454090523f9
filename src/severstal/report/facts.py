"""Everything a run's report tells, gathered from the run's files into one structure that JSON can write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from severstal import console, recipe
from severstal.artifacts import file_hash, fingerprint, read_json
from severstal.data import strips
from severstal.data.labels import CLASSES, Labels, read_labels
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.engines import float32_layers
from severstal.errors import InputError
from severstal.experiment import Member, all_members, current_versions
from severstal.paths import Paths
from severstal.postprocess import rules, tuned_values
from severstal.postprocess.rules import Rule
from severstal.report import mistakes, scoring
from severstal.report.strip_study import NEAR, Study
from severstal.report.strip_study import study as study_strips

STEPS = ("folds", "train", "tune", "export", "predict")  # stages that do the run's work, in order


@dataclass(frozen=True)
class Sources:
    """The run's files, read and checked against each other."""

    paths: Paths
    recipe: recipe.Recipe
    members: list[Member]
    data: TrainingSet
    values: tuned_values.TunedValues
    maps: EnsembleMaps
    strip_scores: pd.DataFrame
    submission: dict[str, Any]
    test_images: list[str]
    test_codes: Labels

    @classmethod
    def read(cls, paths: Paths) -> Sources:
        """Read everything.

        Raises:
            InputError: if something is missing, or not of the same run as the rest.
        """
        chosen = recipe.read(paths.recipe)
        members, data, values = (
            all_members(paths, chosen),
            read_training_set(paths),
            tuned_values.read(paths.postprocess),
        )
        table = scoring.read_strip_scores(paths)
        told = read_json(paths.submission_report, "bash bin/predict.sh")
        _check_of_one_run(paths, members, values, told)
        maps = EnsembleMaps(data, members)
        if list(table.index) != [image for images in maps.folds for image in images]:
            raise InputError(f"{paths.strip_scores} is of another split: delete it and run `bash bin/tune.sh`")
        test_images = strips.listing(paths.test_images)
        codes = read_labels(paths.submission, data.height, data.width, test_images)
        return cls(paths, chosen, members, data, values, maps, table, told, test_images, codes)

    def study(self) -> Study:
        return study_strips(self.maps, self.values)


def _check_of_one_run(
    paths: Paths, members: list[Member], values: tuned_values.TunedValues, submission: dict[str, Any]
) -> None:
    for member in members:
        if values.members.get(member.name) != member.weights_hash():
            raise InputError(f"{member.name} was trained after tuning: run `bash bin/tune.sh` again")
    try:
        used = tuple(rules.parse(rule) for rule in submission["rules"])
        told = used == values.rules and submission["ensemble_weights"] == values.ensemble_weights
    except (KeyError, ValueError):
        told = False
    if not told:
        raise InputError(f"{paths.submission} was made before tuning: run `bash bin/predict.sh` again")
    if not paths.submission.exists() or submission.get("submission") != file_hash(paths.submission):
        raise InputError(
            f"{paths.submission} is not what {paths.submission_report} tells of: run `bash bin/predict.sh`"
        )


def inputs(paths: Paths) -> dict[str, Any]:
    """Everything that decides the report's content, its own code included."""
    known = recipe.read(paths.recipe)
    files = [paths.recipe, paths.folds_csv, paths.postprocess, paths.strip_scores, paths.times]
    for member in all_members(paths, known):
        files += [member.files.config, member.files.log, *member.files.sidecars()]
    own = sorted(file for file in Path(__file__).parent.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {
        "run": {file.relative_to(paths.folds).as_posix(): file_hash(file) for file in files if file.exists()},
        "submission": file_hash(paths.submission_report) if paths.submission_report.exists() else None,
        "code": fingerprint([(file.name, file_hash(file)) for file in own]),
        "synthetic": paths.is_synthetic,
    }


def gather(sources: Sources, seen: Study) -> dict[str, Any]:
    """All facts but the strips shown."""
    values, told = sources.values, sources.submission
    return {
        "run": _run(sources),
        "scores": values.scores,
        "intervals": values.intervals,
        "test_score": told["score"],
        "classes": {str(defect): _class(sources, seen, defect) for defect in CLASSES},
        "folds": scoring.per_fold(sources.strip_scores),
        "mistakes": mistakes.per_class(seen) | {"clean": mistakes.clean_strips(seen), "near": NEAR},
        "reliability": mistakes.reliability(seen),
        "ensemble": scoring.per_encoder(seen, values),
        "training": [_training(member) for member in sources.members],
        "engines": [row for member in sources.members for row in _engines(member)],
        "prediction": {
            "engine": told["engine"],
            "networks": len(told["members"]),
            "strips_per_second": told["strips_per_second"],
            "damaged": told["corrupt"],
        },
        "times": _times(sources.paths),
        "configuration": sources.recipe.model_dump(mode="json"),
        "versions": current_versions(),
        "trained_with": _trained_with(sources.members),
    }


def _run(sources: Sources) -> dict[str, Any]:
    return {
        "synthetic": sources.paths.is_synthetic,
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "recipe": sources.recipe.name,
        "encoders": list(sources.recipe.encoders),
        "folds": sources.recipe.num_folds,
        "networks": len(sources.members),
        "strips": len(sources.data.labels),
        "test_strips": len(sources.test_images),
        "height": sources.data.height,
        "width": sources.data.width,
    }


def _class(sources: Sources, seen: Study, defect: int) -> dict[str, Any]:
    rule = sources.values.rules[defect - 1]
    return {
        "strips": sum(defect in codes for codes in sources.data.labels.values()),
        "test_strips": sum(defect in codes for codes in sources.test_codes.values()),
        "rule": rule.model_dump(exclude_none=True),
        "cut_in_words": str(rule),
        "grid": _grid(sources.paths, defect, rule),
    }


def _grid(paths: Paths, defect: int, rule: Rule) -> dict[str, Any]:
    """The best cell of the tuned grid, and the one taken."""
    grid = read_grid(paths, defect, rule)
    row, column = divmod(int(grid.to_numpy().argmax()), grid.shape[1])
    names = rule.horizontal().name, rule.vertical().name
    best = int(grid.index[row]), int(grid.columns[column])
    taken = tuple(getattr(rule, name) for name in names)
    return {
        name: dict(zip(names, cell, strict=True)) | {"dice": float(grid.loc[cell])}
        for name, cell in (("best", best), ("taken", taken))
    }


def read_grid(paths: Paths, defect: int, rule: Rule) -> pd.DataFrame:
    """Mean Dice by the rule's horizontal axis (index) and vertical axis (columns), of a class with this rule.

    Raises:
        InputError: if the table is missing or no such table.
    """
    path, cure = paths.grid_table(defect), "delete it and run `bash bin/tune.sh`"
    try:
        frame = pd.read_csv(path, index_col=rule.horizontal().name)
        frame.columns = frame.columns.astype(int)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: delete {paths.strip_scores} and run `bash bin/tune.sh`") from None
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}): {cure}") from None
    if frame.columns.tolist() != rule.vertical().values.tolist():
        raise InputError(f"{path}, line 1: the columns are not the values that tuning tries: {cure}")
    return frame


def _training(member: Member) -> dict[str, Any]:
    try:
        lines = [json.loads(line) for line in member.files.log.read_text(encoding="utf-8").splitlines()]
        best = max(lines, key=lambda line: line["dice"])
        seconds = sum(line["train_seconds"] + line["validation_seconds"] for line in lines)
    except FileNotFoundError:
        raise InputError(f"{member.files.log} is missing: delete its folder and run `{member.remake}`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{member.files.log} is damaged ({error}): delete its folder, run `{member.remake}`") from None
    return {
        "encoder": member.encoder,
        "fold": member.fold,
        "epochs": len(lines),
        "best_epoch": best["epoch"],
        "best_dice": best["dice"],
        "seconds": seconds,
        "loss": [line["loss"] for line in lines],
        "dice": [line["dice"] for line in lines],
    }


def _engines(member: Member) -> list[dict[str, Any]]:
    """What export found of the member's engines; of an ONNX file that is there no more, nothing."""
    made = []
    for path in member.files.sidecars():
        told = read_json(path, f"bash bin/export.sh {member.encoder} {member.fold}")
        if "parity" in told and member.files.onnx.exists() and told["onnx"] == file_hash(member.files.onnx):
            known = {"encoder": member.encoder, "fold": member.fold, "engine": told["engine"]}
            kept = float32_layers.read(member, told["engine"])
            made.append(known | {"parity": told["parity"], "dice": told.get("dice"), "kept": kept})
    return made


def _times(paths: Paths) -> list[dict[str, Any]]:
    known = console.read_times(paths.times)
    return [{"stage": name, **known[name]} for name in STEPS if name in known]


def _trained_with(members: list[Member]) -> dict[str, list[str]]:
    """Every version of each package that networks were trained with."""
    found: dict[str, set[str]] = {}
    for member in members:
        for package, version in member.config().versions.items():
            found.setdefault(package, set()).add(version)
    return {package: sorted(versions) for package, versions in found.items()}
