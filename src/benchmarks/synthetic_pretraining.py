"""Score experiments on labelled strips beside an empty file: what synthetic pretraining is worth on real steel.

Reads --input (train_images/, train.csv) and one or more experiments (folds folders, tuned and exported); writes to
--output a table, a row per experiment, and a picture, the strips with the labels and with what each experiment found.
An experiment that trained on these strips is scored by its nested cross-validation (folds/tuning/strips.csv), not by
networks that know them.

    .venv/bin/python src/benchmarks/synthetic_pretraining.py --input severstal-sample --output comparison \
        --experiments folds/synthetic folds/fine-tuned
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from severstal.artifacts import replacing
from severstal.console import Stage, parser, paths_of
from severstal.data import split, strips
from severstal.data.labels import CLASSES, Labels, masks, read_labels
from severstal.errors import run_stage
from severstal.inference.outlines import draw_outlines, encode_jpeg
from severstal.inference.predictor import Predictor, experiment_paths
from severstal.postprocess.metric import dice
from severstal.report.scores import read_strip_scores

GAP = 4  # rows of white between the strips of the picture


@dataclass(frozen=True)
class Scored:
    """An experiment on the labelled strips.

    Attributes:
        name: of its folder.
        dice: ``float64 [n, 4]``.
        masks: ``bool [4, H, W]`` per strip; empty where the experiment trained on the strips.
    """

    name: str
    dice: np.ndarray
    masks: tuple[np.ndarray, ...]


def main() -> None:
    options = parse()
    paths = paths_of(options)
    stage = Stage("synthetic pretraining", paths)
    images = strips.listing(paths.train_images)
    pictures = [strips.read(paths.train_images / image) for image in images]
    height, width = pictures[0].shape
    labels = read_labels(paths.train_csv, height, width, images)
    truths = [masks(labels[image], height, width) for image in images]
    stage.read(f"{len(images)} labelled strips of {paths.train_images}", *options.experiments)
    scored = [score(folder, images, pictures, truths) for folder in options.experiments]
    options.output.mkdir(parents=True, exist_ok=True)
    table, picture = options.output / "dice.csv", options.output / "strips.jpg"
    frame = tabulate(scored, images, labels)
    frame.to_csv(table)
    with replacing(picture) as temporary:
        temporary.write_bytes(encode_jpeg(draw(pictures, truths, scored)))
    stage.wrote(table, picture)
    for line in frame.round(3).to_string().splitlines():
        stage.say(line)
    stage.done(keep_time=False)


def score(folder: Path, images: list[str], pictures: list[np.ndarray], truths: list[np.ndarray]) -> Scored:
    """The Dice of an experiment's masks, from networks that did not learn from the strips."""
    paths = experiment_paths(folder)
    if set(images) & set(split.read(paths)["ImageId"]):
        nested = read_strip_scores(paths).loc[images, [f"nested_{defect}" for defect in CLASSES]]
        return Scored(folder.name, nested.to_numpy(), ())
    found = tuple(prediction.masks for prediction in Predictor(folder).predict_many(pictures))
    return Scored(folder.name, np.stack([dice(*pair) for pair in zip(found, truths, strict=True)]), found)


def tabulate(scored: list[Scored], images: list[str], labels: Labels) -> pd.DataFrame:
    """Dice per experiment: the mean, that of each class, and the share of clean strips on which it found something."""
    shows = np.array([[defect in labels[image] for defect in CLASSES] for image in images])
    clean = ~shows.any(axis=1)
    rows = {"empty file": ~shows} | {one.name: one.dice for one in scored}
    columns = ["Dice", *(f"class {defect}" for defect in CLASSES), "false positives on clean strips"]
    values = [
        [scores.mean(), *scores.mean(axis=0), (scores[clean] == 0).any(axis=1).mean() if clean.any() else np.nan]
        for scores in rows.values()
    ]
    return pd.DataFrame(values, index=pd.Index(rows, name="experiment"), columns=columns)


def draw(pictures: list[np.ndarray], truths: list[np.ndarray], scored: list[Scored]) -> np.ndarray:
    """Each strip with its labels and, below, with what each experiment found; ``uint8 [H, W, 3]`` in RGB."""
    rows = []
    for number, picture in enumerate(pictures):
        found = [one.masks[number] for one in scored if one.masks]
        rows += [cv2.copyMakeBorder(draw_outlines(picture, mask), 0, GAP, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3)
                 for mask in (truths[number], *found)]  # fmt: skip
    return np.vstack(rows)


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument("--experiments", type=Path, nargs="+", required=True, metavar="FOLDS")
    command_line.add_argument("--output", type=Path, required=True, metavar="DIR")
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
