"""The strips that the report shows: which, in what role, and their pictures packed into the page."""

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
from severstal.report.facts import Sources
from severstal.report.strip_study import Study

ROLES = ("worst", "median", "best", "random")
CLEAN = 2
TEST = 8
QUALITY = 85  # of the strips' WebP: the eye finds no difference, and the page stays small
FAINT = 13  # a class whose probability stays below this level (5 %) everywhere is not packed


@dataclass(frozen=True)
class Shown:
    """One strip in the report: ``facts`` go into the JSON, ``pictures`` into the page alone."""

    facts: dict[str, Any]
    pictures: dict[str, Any]


def choose(seen: Study) -> list[tuple[int, str, str]]:
    """Strips to show as (number in the study, group, role): for each class four, then clean ones.

    Only strips where a class is, or is predicted, are ranked for it; none is shown twice. Ties go to larger defects.
    """
    rng, taken, made = np.random.default_rng(0), set(), []
    present = (seen.truth > 0) | (seen.predicted > 0)
    for c, defect in enumerate(CLASSES):
        size = seen.truth[:, c] + seen.predicted[:, c]
        order = [i for i in np.lexsort((-size, seen.dice[:, c])) if present[i, c]]
        for role in ROLES:
            left = [i for i in order if i not in taken]
            if left:
                place = {"worst": 0, "median": len(left) // 2, "best": -1, "random": int(rng.integers(len(left)))}[role]
                taken.add(left[place])
                made.append((int(left[place]), f"class-{defect}", role))
    clean = np.flatnonzero(~(seen.truth > 0).any(axis=1))
    wrong = sorted((i for i in clean if i not in taken), key=lambda i: -seen.predicted[i].sum())
    made += [
        (int(i), "clean", "largest false alarm" if seen.predicted[i].any() else "kept clean") for i in wrong[:CLEAN]
    ]
    return made


def training_strips(sources: Sources, seen: Study) -> list[Shown]:
    """The chosen strips with truth, prediction by the tuned values and the averaged probabilities."""
    return [_training_strip(sources, seen, *one) for one in choose(seen)]


def test_strips(sources: Sources) -> list[Shown]:
    """A draw of the test strips, those with predictions first, as the submission has them."""
    order = np.random.default_rng(0).permutation(len(sources.test_images))
    drawn = sorted((sources.test_images[i] for i in order), key=lambda image: not sources.test_codes[image])[:TEST]
    return [_test_strip(sources, image) for image in drawn]


def _training_strip(sources: Sources, seen: Study, number: int, group: str, role: str) -> Shown:
    image, fold = seen.images[number], int(seen.folds[number])
    weights = [sources.values.ensemble_weights[encoder] for encoder in sources.maps.encoders]
    averaged, truth = mean_map(sources.maps.maps(fold, image), weights), sources.maps.truth(image)
    class_probability = mean_map(sources.maps.class_probabilities(fold, image), weights)
    predicted = dict(zip(CLASSES, masks_of(averaged, class_probability, sources.values.rules), strict=True))
    nested = sources.strip_scores.loc[image]
    facts = {
        "image": image,
        "group": group,
        "role": role,
        "fold": fold,
        "dice": float(seen.dice[number].mean()),
        "classes": {
            str(defect): {
                "truth": int(seen.truth[number, defect - 1]),
                "predicted": int(seen.predicted[number, defect - 1]),
                "dice": float(seen.dice[number, defect - 1]),
                "nested": float(nested[f"nested_{defect}"]),
            }
            for defect in CLASSES
            if seen.truth[number, defect - 1] or seen.predicted[number, defect - 1]
        },
    }
    pictures = {
        "strip": _webp(strips.read_sized(sources.paths.train_images / image, *averaged.shape[1:])),
        "truth": {str(defect): svg_path(one) for defect, one in truth.items() if one.any()},
        "predicted": {str(defect): svg_path(one) for defect, one in predicted.items() if one.any()},
        "probability": {str(d): _png(averaged[d - 1]) for d in CLASSES if averaged[d - 1].max() >= FAINT},
    }
    return Shown(facts, pictures)


def _test_strip(sources: Sources, image: str) -> Shown:
    height, width = sources.data.height, sources.data.width
    made = masks(sources.test_codes[image], height, width)
    found = {str(defect): one for defect, one in zip(CLASSES, made, strict=True) if one.any()}
    facts = {
        "image": image,
        "group": "test",
        "role": "test",
        "classes": {name: {"predicted": int(np.count_nonzero(one))} for name, one in found.items()},
    }
    pictures = {
        "strip": _webp(strips.read_sized(sources.paths.test_images / image, height, width)),
        "truth": {},
        "predicted": {name: svg_path(one) for name, one in found.items()},
        "probability": {},
    }
    return Shown(facts, pictures)


def _webp(strip: np.ndarray) -> str:
    return _data("webp", strip, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


def _png(probability: np.ndarray) -> str:
    # Without loss: the page reads the pixels back and tells them.
    return _data("png", probability, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _data(kind: str, picture: np.ndarray, options: list[int]) -> str:
    _, coded = cv2.imencode(f".{kind}", picture, options)
    return f"data:image/{kind};base64,{base64.b64encode(coded.tobytes()).decode()}"
