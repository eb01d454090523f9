"""Predict the test strips with every network of the ensemble and write the submission.

Reads input/test_images/ (or --images DIR), input/sample_submission.csv, every folds/<encoder>/<fold>/model.onnx and
engine, and folds/postprocess.json; writes submissions/submission.csv and submissions/submission.json.

    bash bin/predict.sh
    bash bin/predict.sh --images /mill/today --submissions /mill/today-masks
    bash bin/predict.sh --time-limit 55m --on-error empty
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from severstal.artifacts import Artifact, file_hash, fingerprint, listing_hash, read_json, replacing
from severstal.console import Stage, parser, paths_of, seconds_of
from severstal.data import strips
from severstal.data.labels import CLASSES, masks, read_labels
from severstal.data.rle import decode
from severstal.engines import catalog
from severstal.engines.base import BATCH_SIZE
from severstal.errors import run_stage
from severstal.experiment import Member
from severstal.inference import prediction, submission
from severstal.inference.members import ready_members
from severstal.inference.time_budget import Deadline
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.metric import dice


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--images", type=Path, metavar="DIR", help="a folder of strips; default: test_images of --input")
    made.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    made.add_argument(
        "--on-error",
        choices=("stop", "empty"),
        default="stop",
        help="what a damaged strip does: end the run with its name (default), or be predicted empty and listed",
    )
    made.add_argument(
        "--time-limit", metavar="TIME", help="such as 55m: leave out members of the ensemble that would not finish"
    )
    options = made.parse_args()
    began = time.monotonic()
    limit = began + seconds_of(options.time_limit) if options.time_limit is not None else None
    paths = paths_of(options)
    stage = Stage("predict", paths)
    folder = options.images.resolve() if options.images else paths.test_images
    images = strips.listing(folder)
    form = submission.Form(images, submission.DEFAULT_COLUMNS) if options.images else submission.form_of(paths, images)
    values = tuned_values.read(paths.postprocess)
    members = ready_members(paths, values)
    engine = catalog.choose(options.engine)
    stage.read(f"{len(form.images)} strips of {folder}", f"{len(members)} networks, engine {engine}")
    artifact = submission_artifact(paths, folder, form, members, values, engine)
    if not stage.is_cached(artifact, paths.submission):
        deadline = Deadline(limit, members, stage.say)
        run = Run(stage, paths, folder, form, deadline, values, engine, options.on_error == "empty")
        report = run.predict()
        # Members that a time limit left out and damaged strips are worth another try.
        complete = len(report["members"]) == len(members) and not report["damaged"]
        artifact.write_record(report, complete=complete)
    print_report(stage, paths, values)
    stage.done(keep_time=options.images is None)


def submission_artifact(
    paths: Paths,
    folder: Path,
    form: submission.Form,
    members: list[Member],
    values: tuned_values.TunedValues,
    engine: str,
) -> Artifact:
    """The submission with everything that decides its content."""
    inputs = {
        "strips": listing_hash(folder, form.images),
        "form": fingerprint(form.images, form.columns),
        "networks": {member.name: file_hash(member.files.onnx) for member in members},
        "ensemble_weights": {member.encoder: values.ensemble_weights[member.encoder] for member in members},
        "rules": [rule.model_dump(mode="json") for rule in values.rules],
        "engine": engine,
    }
    return Artifact(paths.submission_report, inputs, files=(paths.submission,))


@dataclass
class Run:
    """One prediction of a folder."""

    stage: Stage
    paths: Paths
    folder: Path
    form: submission.Form
    deadline: Deadline
    values: tuned_values.TunedValues
    engine: str
    skip_damaged: bool

    def predict(self) -> dict[str, Any]:
        """Predict, check and write; returns what the report tells of it."""
        members = self.deadline.members
        config = members[0].config()
        height, width = config.height, config.width
        reader = prediction.Reader(
            lambda image: strips.read_sized(self.folder / image, height, width), skip=self.skip_damaged
        )
        runtime, weights = (
            catalog.engine_class(self.engine),
            [self.values.ensemble_weights[member.encoder] for member in members],
        )
        ensemble = prediction.Ensemble(
            [runtime.load(member) for member in members],
            weights,
            together=runtime.average if runtime.averages_on_device else None,
            apart=self.deadline.ends is not None,  # until it is known which members finish in time
        )
        began = time.monotonic()
        codes = self._codes(reader, ensemble)
        seconds = time.monotonic() - began
        with replacing(self.paths.submission) as temporary:
            submission.write(temporary, self.form, codes)
            counts = submission.check(temporary, self.form, height, width)
        self.stage.wrote(self.paths.submission)
        rate = len(codes) / seconds
        self.stage.say(f"{rate:.2f} strips per second with {len(self.deadline.members)} networks")
        own = self.folder == self.paths.test_images
        truth = self.paths.test_truth if own and self.paths.test_truth.exists() else None
        return {
            "submission": file_hash(self.paths.submission),
            "engine": self.engine,
            "members": {member.name: self.values.members[member.name] for member in self.deadline.members},
            "ensemble_weights": self.values.ensemble_weights,
            "rules": [rule.model_dump(exclude_none=True) for rule in self.values.rules],
            "strips_per_second": round(rate, 3),
            "counts": counts.lines(),
            "damaged": reader.damaged,
            "expected": self.values.scores,
            "score": score(self.form, codes, truth, height, width) if truth else None,
        }

    def _codes(self, reader: prediction.Reader, ensemble: prediction.Ensemble) -> dict[str, list[str]]:
        codes, images = {}, self.form.images
        batches = prediction.in_batches(images, BATCH_SIZE)
        made = prediction.codes_of(
            self.deadline.watch(batches, len(images), ensemble), reader, ensemble, self.values.rules
        )
        for image, code in tqdm(made, "predict", total=len(images), unit="strip", leave=False, disable=None):
            codes[image] = code
        return codes


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


def print_report(stage: Stage, paths: Paths, values: tuned_values.TunedValues) -> None:
    report = read_json(paths.submission_report, "bash bin/predict.sh")
    for line in report["counts"]:
        stage.say(line)
    for image, reason in report["damaged"].items():
        stage.say(f"predicted empty, as it is damaged: {image}: {reason}")
    nested, empty = values.scores["nested"]["mean"], values.scores["all_empty"]["mean"]
    low, high = values.intervals["nested"]["mean"]
    stage.say(f"expected score {nested:.5f}, {low:.3f} to {high:.3f} (out of fold, nested; all empty {empty:.5f})")
    if report["score"]:
        real = report["score"]
        stage.say(f"score on the test strips' truth {real['mean']:.5f} (an empty submission {real['all_empty']:.5f})")


if __name__ == "__main__":
    run_stage(main)
