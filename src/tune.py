"""Choose ensemble weights and each class's rule of post-processing on the ensemble's out-of-fold maps.

Reads input/train.csv, folds/folds.csv and every folds/<encoder>/<fold>/oof.npz; writes folds/postprocess.json, the
tuned grids as folds/tuning/class_<n>.png and .csv, and every strip's Dice as folds/tuning/strips.csv; where the
networks have a classifier, the Dice of each use of it as folds/tuning/classifier.csv. Plain values
(``--postprocess plain``) are scored, and none is chosen.

    bash bin/tune.sh
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from severstal import recipe
from severstal.artifacts import Artifact, fingerprint, replacing
from severstal.commands import command
from severstal.console import Stage, parser, paths_of
from severstal.data import split
from severstal.data.labels import CLASSES
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import run_stage
from severstal.experiment import all_members, experiment_lock
from severstal.hardware import core_count
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.classifier import CANDIDATES
from severstal.postprocess.rules import RULES, plain_rule
from severstal.postprocess.tuned_values import SCORE_KEYS, Choice, TunedValues

if TYPE_CHECKING:
    from severstal.tuning.scoring import Values
    from severstal.tuning.search import Tuned

VERSION = 8  # of tuning and its files: raise it when the same maps would give others


def main() -> None:
    options = parser(__doc__).parse_args()
    paths = paths_of(options)
    stage = Stage("tune", paths)
    chosen = recipe.read(paths)
    data = read_training_set(paths)
    split.check_count(data.split, paths.folds_csv, chosen.num_folds)
    source = EnsembleMaps(data, all_members(paths, chosen))
    stage.read(f"out-of-fold maps of {len(source.fold_maps)} networks over {len(data.labels)} strips", paths.train_csv)
    is_plain = chosen.postprocess == "plain"
    artifact = values_artifact(paths, data, source, is_plain)
    if not stage.is_cached(artifact):
        with experiment_lock(paths):
            tune(stage, paths, source, artifact, is_plain)
    print_scores(stage, tuned_values.read(paths), command(paths, "report"), is_plain)
    stage.done()


def values_artifact(paths: Paths, data: TrainingSet, source: EnsembleMaps, is_plain: bool) -> Artifact:
    """The tuned values, their pictures and tables, with everything that they are chosen from."""
    inputs = {
        "training_set": data.fingerprint,
        "rules": plain_rule(source.has_heads).model_dump(mode="json") if is_plain else grids_by_rule(),
        "maps": {f"{encoder} fold {fold}": maps.meta for (encoder, fold), maps in source.fold_maps.items()},
    }
    grids = [file for defect in CLASSES for file in (paths.grid_picture(defect), paths.grid_table(defect))]
    tables = [paths.strip_scores, *([paths.classifier_table] if source.has_heads and not is_plain else [])]
    return Artifact(paths.postprocess, inputs, VERSION, (*grids, *tables))


def grids_by_rule() -> dict[str, str]:
    """For each rule that is tried, a hash of the values that its grid holds."""
    return {
        rule.model_fields["rule"].default: fingerprint([(axis.name, axis.values.tolist()) for axis in rule.axes])
        for rule in RULES
    }


def tune(stage: Stage, paths: Paths, source: EnsembleMaps, artifact: Artifact, is_plain: bool) -> None:
    from severstal.tuning import search  # importing the compiler takes seconds

    choose = search.untuned if is_plain else search.tune
    result = choose(source, core_count())
    draw_grids(paths, result)
    with replacing(paths.strip_scores) as table:
        strip_scores(source, result.dices).to_csv(table, index=False)
    if result.classifier_scores is not None:
        with replacing(paths.classifier_table) as table:
            classifier_table(result.classifier_scores).to_csv(table, index=False)
    artifact.write_record(tuned_values_of(source, result).model_dump(exclude_none=True))
    stage.wrote(paths.postprocess, paths.grid_picture(1).parent)


def draw_grids(paths: Paths, result: Tuned) -> None:
    """A picture and a table of each class's grid."""
    from severstal.tuning import pictures

    strips = len(result.dices["tuned"])
    for defect, blocks, rule in zip(CLASSES, result.blocks, result.values.rules, strict=True):
        grid = pictures.grid_of(blocks, rule)
        with replacing(paths.grid_picture(defect)) as picture:
            pictures.draw(picture, grid, f"class {defect}, {strips} strips")
        with replacing(paths.grid_table(defect)) as table:
            pictures.write_table(table, grid)


def tuned_values_of(source: EnsembleMaps, result: Tuned) -> TunedValues:
    def choice(values: Values) -> dict[str, Any]:
        weights = dict(zip(source.encoders, values.ensemble_weights, strict=True))
        return {"ensemble_weights": weights, "rules": values.rules}

    scores = {
        name: dict(zip(SCORE_KEYS, [float(dices.mean()), *dices.mean(axis=0).tolist()], strict=True))
        for name, dices in result.dices.items()
    }
    return TunedValues(
        **choice(result.values),
        members={f"{encoder} fold {fold}": maps.meta["weights"] for (encoder, fold), maps in source.fold_maps.items()},
        scores=scores,
        intervals=result.intervals,
        strips=len(result.dices["tuned"]),
        nested=tuple(Choice(**choice(values)) for values in result.nested),
    )


def strip_scores(source: EnsembleMaps, dices: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row per strip: its fold, and its Dice by each choice of values and class, as ``nested_3``."""
    frame = pd.DataFrame(
        [(image, fold) for fold, images in enumerate(source.folds) for image in images], columns=["ImageId", "fold"]
    )
    for name, scores in dices.items():
        frame[[f"{name}_{defect}" for defect in CLASSES]] = scores
    return frame


def classifier_table(scores: np.ndarray) -> pd.DataFrame:
    """A row per use of the classifier: cross-validated Dice of the mask-area rule, per class."""
    frame = pd.DataFrame(scores, columns=[f"class_{defect}" for defect in CLASSES])
    frame.insert(0, "use", [f"{use.use} {use.min_probability or ''}".strip() for use in CANDIDATES])
    return frame


def print_scores(stage: Stage, values: TunedValues, report: str, is_plain: bool) -> None:
    """Print the scores; ``report`` is the command that shows more."""
    scores = dict(values.scores)
    if is_plain:
        stage.say("plain values, none of them chosen on these strips (--postprocess plain)")
        scores["plain"] = scores.pop("nested")
        del scores["tuned"]
    stage.say("Dice        mean     class 1  class 2  class 3  class 4")
    for name, score in scores.items():
        stage.say(f"{name:<10}  " + "  ".join(f"{score[key]:.5f}" for key in SCORE_KEYS))
    low, high = values.intervals["nested"]["mean"]
    last = "plain" if is_plain else "nested"
    stage.say(f"{last} is {low:.4f} to {high:.4f} in 95 % of resamples of the {values.strips} strips")
    for defect, rule in enumerate(values.rules, start=1):
        gained = "" if is_plain else f"; {gain(values, str(defect))}"
        stage.say(f"class {defect}: {rule}{gained}")
    if is_plain:
        return
    for defect in useless_classes(values):
        stage.say(
            f"warning: class {defect} is found no better than by predicting it nowhere: train longer, or see its curve "
            f"and strips in the report (`{report}`)"
        )
    if len(set(values.ensemble_weights.values())) > 1:
        stage.say(
            "ensemble weights: "
            + ", ".join(f"{encoder} {weight}" for encoder, weight in values.ensemble_weights.items())
        )
    elif len(values.ensemble_weights) > 1:
        stage.say("ensemble weights: all encoders alike; no others are better by more than noise")


def useless_classes(values: TunedValues) -> list[int]:
    """Classes that occur and of which even the values tuned on these strips find nothing."""
    empty, tuned = values.scores["all_empty"], values.scores["tuned"]
    return [defect for defect in CLASSES if empty[str(defect)] < 1 and tuned[str(defect)] <= empty[str(defect)]]


def gain(values: TunedValues, key: str) -> str:
    """The gain of tuning on strips that it was not done on, in words."""
    low, high = values.intervals["gain"][key]
    mean = values.scores["nested"][key] - values.scores["default"][key]
    words = f"{mean:+.4f} against the default ({low:+.4f} to {high:+.4f})"
    return f"tuning gains {words}" if low > 0 else f"no significant gain: {words}"


if __name__ == "__main__":
    run_stage(main)
