"""All numbers of a run's report, in one structure that JSON can hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from severstal import console
from severstal.artifacts import file_hash, read_json
from severstal.data.labels import CLASSES
from severstal.engines import float32_layers
from severstal.errors import InputError
from severstal.experiment import Member, current_versions, synthetic_origin
from severstal.paths import Paths
from severstal.report.calibration import calibration_per_class
from severstal.report.error_analysis import analyse_errors
from severstal.report.evaluation import Evaluation
from severstal.report.scores import contribution_per_encoder, scores_per_fold
from severstal.report.sources import Sources
from severstal.report.tuned_grid import grid_cells, read_grid

STAGES = ("folds", "train", "tune", "export", "predict")  # whose times are shown, in order


def collect(sources: Sources, evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the strips of the gallery."""
    values, submission = sources.values, sources.submission
    return {
        "run": _run(sources),
        "scores": values.scores,
        "intervals": values.intervals,
        "test_score": submission["score"],
        "classes": {str(defect): _class(sources, defect) for defect in CLASSES},
        "folds": scores_per_fold(sources.strip_scores),
        "errors": analyse_errors(evaluation),
        "calibration": calibration_per_class(evaluation),
        "ensemble": contribution_per_encoder(evaluation, values),
        "training": [_training(member) for member in sources.members],
        "engines": [row for member in sources.members for row in _engines(member)],
        "prediction": {
            "engine": submission["engine"],
            "networks": len(submission["members"]),
            "strips_per_second": submission["strips_per_second"],
            "corrupt": submission["corrupt"],
        },
        "times": _times(sources.paths),
        "configuration": sources.recipe.model_dump(mode="json"),
        "versions": current_versions(),
        "training_versions": _training_versions(sources.members),
    }


def _run(sources: Sources) -> dict[str, Any]:
    return {
        "synthetic": sources.paths.is_synthetic,
        "synthetic_origin": synthetic_origin(sources.members),
        "created": datetime.now(UTC).isoformat(timespec="minutes"),
        "recipe": sources.recipe.name,
        "postprocess": sources.recipe.postprocess,
        "encoders": list(sources.recipe.encoders),
        "folds": sources.recipe.num_folds,
        "networks": len(sources.members),
        "strips": len(sources.data.labels),
        "test_strips": len(sources.test_images),
        "height": sources.data.height,
        "width": sources.data.width,
    }


def _class(sources: Sources, defect: int) -> dict[str, Any]:
    rule = sources.values.rules[defect - 1]
    return {
        "strips": sum(defect in codes for codes in sources.data.labels.values()),
        "test_strips": sum(defect in codes for codes in sources.test_codes.values()),
        "rule": rule.model_dump(exclude_none=True),
        "rule_text": str(rule),
        "grid": grid_cells(read_grid(sources.paths, defect, rule), rule),
    }


def _training(member: Member) -> dict[str, Any]:
    """A network's training log: loss and validation Dice per epoch, and the best epoch."""
    log, cure = member.files.log, f"delete its folder and run `{member.remake}`"
    try:
        epochs = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        best = max(epochs, key=lambda epoch: epoch["dice"])
        seconds = sum(epoch["train_seconds"] + epoch["validation_seconds"] for epoch in epochs)
        curves = {name: [epoch[name] for epoch in epochs] for name in ("loss", "dice")}
    except FileNotFoundError:
        raise InputError(f"{log} is missing: {cure}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{log} is damaged ({error}): {cure}") from None
    return {
        "encoder": member.encoder,
        "fold": member.fold,
        "epochs": len(epochs),
        "best_epoch": best["epoch"],
        "best_dice": best["dice"],
        "seconds": seconds,
    } | curves


def _engines(member: Member) -> list[dict[str, Any]]:
    """The checks that export made of the member's engines, of the present ONNX file only."""
    rows = []
    for path in member.files.sidecars():
        record = read_json(path, member.export_command)
        if "parity" in record and member.files.onnx.exists() and record["onnx"] == file_hash(member.files.onnx):
            rows.append(
                {
                    "encoder": member.encoder,
                    "fold": member.fold,
                    "engine": record["engine"],
                    "parity": record["parity"],
                    "dice": record.get("dice"),
                    "float32_layers": float32_layers.read(member, record["engine"]),
                }
            )
    return rows


def _times(paths: Paths) -> list[dict[str, Any]]:
    """Seconds and end of each stage's last run that had something to do."""
    times = console.read_times(paths)
    return [{"stage": name, **times[name]} for name in STAGES if name in times]


def _training_versions(members: list[Member]) -> dict[str, list[str]]:
    """Every version of each package that networks were trained with."""
    found: dict[str, set[str]] = {}
    for member in members:
        for package, version in member.config().versions.items():
            found.setdefault(package, set()).add(version)
    return {package: sorted(versions) for package, versions in found.items()}
