"""Predict the test strips with every network of the ensemble and write the submission.

Reads input/test_images/ (or --images DIR), input/sample_submission.csv, every folds/<encoder>/<fold>/model.onnx and
engine, and folds/postprocess.json; writes submissions/submission.csv and submissions/submission.json.

    bash bin/predict.sh
    bash bin/predict.sh --images /mill/today --submissions /mill/today-masks
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from severstal import engines, onnx_file, postprocess, prediction, recipe, strips, submission
from severstal.artifacts import file_hash, fingerprint, listing_hash, read_json, replacing, write_json
from severstal.command_line import parser, paths_of
from severstal.errors import InputError, run_stage
from severstal.labels import CLASSES, masks, read_labels
from severstal.member import Member, members
from severstal.metric import dice
from severstal.paths import Paths
from severstal.rle import decode
from severstal.stage import Stage

BATCH = 4  # strips per call of an engine


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--images", type=Path, metavar="DIR", help="a folder of strips; default: test_images of --input")
    made.add_argument("--engine", default="auto", help=f"auto, {', '.join(engines.RUNTIMES)}")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("predict", paths)
    folder = options.images.resolve() if options.images else paths.test_images
    images = strips.listing(folder)
    form = submission.Form(images, submission.DEFAULT_COLUMNS) if options.images else submission.form_of(paths, images)
    values = postprocess.read(paths.postprocess)
    # Tuning may find an encoder to be of no help: it is not run.
    team = [member for member in members(paths, recipe.read(paths.recipe)) if values.blend.get(member.encoder, 1)]
    check_team(team, values)
    engine = engines.choose(options.engine)
    stage.read(f"{len(form.images)} strips of {folder}", f"{len(team)} networks, engine {engine}")
    made_from = identity(folder, form, team, values, engine)
    if is_up_to_date(paths, made_from):
        stage.up_to_date(paths.submission)
    else:
        report = predict(stage, paths, folder, form, team, values, engine)
        write_json(paths.submission_report, {"made_from": made_from} | report)
    print_report(stage, paths, values)
    stage.done()


def check_team(team: list[Member], values: postprocess.Tuning) -> None:
    """Every member must be there, exported from the weights that the values were tuned with."""
    for member in team:
        if values.members.get(member.name) != member.weights_hash():
            raise InputError(f"{member.name} was trained after tuning: run `bash bin/tune.sh` again")
        onnx_file.check_identity(member)


def identity(folder: Path, form: submission.Form, team: list[Member], values: postprocess.Tuning, engine: str) -> str:
    made_of = [(member.name, file_hash(member.files.onnx), values.blend[member.encoder]) for member in team]
    cuts = [cut.model_dump() for cut in values.cuts]
    return fingerprint(listing_hash(folder, form.images), form.images, form.columns, made_of, cuts, engine)


def is_up_to_date(paths: Paths, made_from: str) -> bool:
    if not paths.submission.exists() or not paths.submission_report.exists():
        return False
    report = read_json(paths.submission_report, "bash bin/predict.sh")
    return report.get("made_from") == made_from and report.get("submission") == file_hash(paths.submission)


def predict(
    stage: Stage,
    paths: Paths,
    folder: Path,
    form: submission.Form,
    team: list[Member],
    values: postprocess.Tuning,
    engine: str,
) -> dict[str, Any]:
    """Predict, check and write; returns what the report tells of it."""
    config = team[0].config()
    height, width = config.height, config.width
    loaded = [(engines.runtime(engine).load(member), values.blend[member.encoder]) for member in team]
    began, codes = time.monotonic(), {}
    made = prediction.codes_of(
        prediction.in_batches(form.images, BATCH),
        lambda image: strips.read_sized(folder / image, height, width),
        loaded,
        values.cuts,
    )
    for image, code in tqdm(made, "predict", total=len(form.images), unit="strip", leave=False, disable=None):
        codes[image] = code
    seconds = time.monotonic() - began
    with replacing(paths.submission) as temporary:
        submission.write(temporary, form, codes)
        counts = submission.check(temporary, form, height, width)
    stage.wrote(paths.submission)
    stage.say(f"{len(codes) / seconds:.2f} strips per second with {len(team)} networks")
    truth = paths.test_truth if folder == paths.test_images and paths.test_truth.exists() else None
    return {
        "submission": file_hash(paths.submission),
        "engine": engine,
        "members": values.members,
        "blend": values.blend,
        "cuts": [cut.model_dump() for cut in values.cuts],
        "strips_per_second": round(len(codes) / seconds, 3),
        "counts": counts.lines(),
        "expected": values.scores,
        "score": score(form, codes, truth, height, width) if truth else None,
    }


def score(form: submission.Form, codes: dict[str, list[str]], truth: Path, height: int, width: int) -> dict[str, Any]:
    """The competition's metric against a truth that lies beside the strips, and that of an empty submission."""
    labels = read_labels(truth, height, width, form.images)
    ours, empty = [], []
    for image in form.images:
        expected = masks(labels[image], height, width)
        ours.append(dice(np.stack([decode(code, height, width) for code in codes[image]]), expected))
        empty.append(dice(np.zeros_like(expected), expected))
    per_class = np.mean(ours, axis=0)
    return {
        "mean": float(per_class.mean()),
        "all_empty": float(np.mean(empty)),
        **{str(defect): float(value) for defect, value in zip(CLASSES, per_class, strict=True)},
    }


def print_report(stage: Stage, paths: Paths, values: postprocess.Tuning) -> None:
    report = read_json(paths.submission_report, "bash bin/predict.sh")
    for line in report["counts"]:
        stage.say(line)
    honest, empty = values.scores["honest"]["mean"], values.scores["all_empty"]["mean"]
    low, high = values.intervals["honest"]["mean"]
    stage.say(f"expected score {honest:.5f}, {low:.3f} to {high:.3f} (out of fold, honest; all empty {empty:.5f})")
    if report["score"]:
        real = report["score"]
        stage.say(f"score on the test strips' truth {real['mean']:.5f} (an empty submission {real['all_empty']:.5f})")


if __name__ == "__main__":
    run_stage(main)
