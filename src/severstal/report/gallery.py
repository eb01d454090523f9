"""The strips that the report shows: which ones, and their pictures, encoded for the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from severstal.data import strips
from severstal.data.labels import CLASSES, masks
from severstal.inference.outlines import svg_path
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.rules import masks_of
from severstal.report.evaluation import Evaluation
from severstal.report.sources import Sources

ROLES = ("worst", "median", "best", "random")
CLEAN_STRIPS = 2
TEST_STRIPS = 8
WEBP_QUALITY = 85  # no visible loss, at a fraction of the size of a PNG
MIN_LEVEL = 13  # of 255: a class whose probability is below 5 % everywhere is not encoded


@dataclass(frozen=True)
class GalleryStrip:
    """A strip of the report: ``facts`` are part of the JSON file, ``pictures`` only of the page."""

    facts: dict[str, Any]
    pictures: dict[str, Any]


@dataclass(frozen=True)
class Selected:
    """Why a strip is shown: ``index`` is its place in the evaluation, ``group`` a tab of the page."""

    index: int
    group: str
    role: str


def select_strips(evaluation: Evaluation) -> list[Selected]:
    """For each class one strip per role, then strips without a defect; no strip twice.

    A class ranks the strips that show it or where it is predicted, by Dice; of equal ones the larger defect first.
    """
    rng, used, selected = np.random.default_rng(0), set(), []
    sizes = evaluation.true_area + evaluation.predicted_area
    for c, defect in enumerate(CLASSES):
        ranked = [i for i in np.lexsort((-sizes[:, c], evaluation.dice[:, c])) if sizes[i, c]]
        for role in ROLES:
            unused = [int(i) for i in ranked if i not in used]
            if unused:
                draw = int(rng.integers(len(unused)))
                place = {"worst": 0, "median": len(unused) // 2, "best": -1, "random": draw}[role]
                used.add(unused[place])
                selected.append(Selected(unused[place], f"class-{defect}", role))
    return selected + _select_clean(evaluation, used)


def _select_clean(evaluation: Evaluation, used: set[int]) -> list[Selected]:
    """Strips without a defect, those with the largest false positive first."""
    clean = np.flatnonzero(~(evaluation.true_area > 0).any(axis=1))
    false_area = evaluation.predicted_area.sum(axis=1)
    ranked = sorted((int(i) for i in clean if i not in used), key=lambda i: -false_area[i])
    return [
        Selected(i, "clean", "largest false positive" if false_area[i] else "correctly empty")
        for i in ranked[:CLEAN_STRIPS]
    ]


def training_strips(sources: Sources, evaluation: Evaluation) -> list[GalleryStrip]:
    """The selected training strips with truth, prediction by the tuned values and averaged probabilities."""
    return [_training_strip(sources, evaluation, selected) for selected in select_strips(evaluation)]


def test_strips(sources: Sources) -> list[GalleryStrip]:
    """A random sample of the test strips with the submission's masks; strips with a predicted defect are preferred."""
    order = np.random.default_rng(0).permutation(len(sources.test_images))
    images = [sources.test_images[i] for i in order]
    return [
        _test_strip(sources, image) for image in sorted(images, key=lambda i: not sources.test_codes[i])[:TEST_STRIPS]
    ]


def _training_strip(sources: Sources, evaluation: Evaluation, selected: Selected) -> GalleryStrip:
    index = selected.index
    image, fold = evaluation.images[index], int(evaluation.folds[index])
    weights = [sources.values.ensemble_weights[encoder] for encoder in sources.maps.encoders]
    probability = mean_map(sources.maps.maps(fold, image), weights)
    class_probability = mean_map(sources.maps.class_probabilities(fold, image), weights)
    predicted = masks_of(probability, class_probability, sources.values.rules)
    facts = {
        "image": image,
        "group": selected.group,
        "role": selected.role,
        "fold": fold,
        "dice": float(evaluation.dice[index].mean()),
        "classes": _class_scores(sources, evaluation, index),
    }
    pictures = {
        "strip": _webp(strips.read(sources.paths.train_images / image, probability.shape[1:])),
        "truth": {str(defect): svg_path(mask) for defect, mask in sources.maps.truth(image).items()},
        "predicted": _paths(predicted),
        "probability": {
            str(defect): _png(plane)
            for defect, plane in zip(CLASSES, probability, strict=True)
            if plane.max() >= MIN_LEVEL
        },
    }
    return GalleryStrip(facts, pictures)


def _class_scores(sources: Sources, evaluation: Evaluation, index: int) -> dict[str, dict[str, float]]:
    """Areas in pixels and Dice of each class that the strip shows or where it is predicted."""
    strip_scores = sources.strip_scores.loc[evaluation.images[index]]
    return {
        str(defect): {
            "true_area": int(evaluation.true_area[index, c]),
            "predicted_area": int(evaluation.predicted_area[index, c]),
            "dice": float(evaluation.dice[index, c]),
            "nested_dice": float(strip_scores[f"nested_{defect}"]),
        }
        for c, defect in enumerate(CLASSES)
        if evaluation.true_area[index, c] or evaluation.predicted_area[index, c]
    }


def _test_strip(sources: Sources, image: str) -> GalleryStrip:
    height, width = sources.data.height, sources.data.width
    predicted = masks(sources.test_codes[image], height, width)
    facts = {
        "image": image,
        "group": "test",
        "role": "test",
        "classes": {
            str(defect): {"predicted_area": int(np.count_nonzero(mask))}
            for defect, mask in zip(CLASSES, predicted, strict=True)
            if mask.any()
        },
    }
    pictures = {
        "strip": _webp(strips.read(sources.paths.test_images / image, (height, width))),
        "truth": {},
        "predicted": _paths(predicted),
        "probability": {},
    }
    return GalleryStrip(facts, pictures)


def _paths(class_masks: np.ndarray) -> dict[str, str]:
    """SVG paths of the masks that are not empty, by class."""
    return {str(defect): svg_path(mask) for defect, mask in zip(CLASSES, class_masks, strict=True) if mask.any()}


def _webp(strip: np.ndarray) -> str:
    return _data_url("webp", strip, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])


def _png(probability: np.ndarray) -> str:
    # Lossless, because the page reads the pixels back to show their probabilities.
    return _data_url("png", probability, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _data_url(kind: str, picture: np.ndarray, options: list[int]) -> str:
    _, encoded = cv2.imencode(f".{kind}", picture, options)
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
