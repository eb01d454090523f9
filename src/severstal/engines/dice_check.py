"""What a lower precision costs in the competition's metric: the Dice of a fold's held-out strips at the tuned values.

PyTorch's maps of these strips lie on disk as the fold's out-of-fold store, so only the engine has to run.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from severstal.data import out_of_fold, strips
from severstal.data.labels import masks
from severstal.data.training_set import TrainingSet
from severstal.engines.outputs import Predict
from severstal.errors import EngineRefused
from severstal.experiment import Member
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import Rule, masks_of

MAX_DROP = 0.001  # of mean Dice, for an engine to be accepted
MAX_STRIPS = 600  # scored; drawn evenly from the fold's
CALIBRATION_STRIPS = 64  # training strips that int8 ranges are measured on


class FoldScorer:
    """Scores engines of one member on the strips that it was not trained on.

    Attributes:
        images: the held-out strips that are scored.
        rules: the post-processing that they are scored with.
        reference: mean Dice of PyTorch's out-of-fold maps on them.
    """

    def __init__(self, member: Member, data: TrainingSet, rules: tuple[Rule, ...]) -> None:
        """Read the member's out-of-fold maps.

        Raises:
            InputError: if they are missing or damaged.
        """
        self.member, self._data, self.rules = member, data, rules
        self.images = _draw_evenly(data.images(member.fold, held_out=True), MAX_STRIPS)
        self._calibration_images = _draw_calibration(data, member.fold)
        store = out_of_fold.FoldMaps(member.files.oof, member.remake)
        scores = [self._score_maps(image, store[image], store.class_probability(image)) for image in self.images]
        self.reference = float(np.mean(scores))

    def arguments(self) -> tuple[Member, TrainingSet, tuple[Rule, ...]]:
        """What another process constructs an equal scorer from."""
        return self.member, self._data, self.rules

    def score(self, predict: Predict) -> float:
        """Mean Dice over the held-out strips and the classes."""
        bar = tqdm(self.images, "Dice of the fold", leave=False, disable=None)
        return float(np.mean([self.score_strip(predict, image) for image in bar]))

    def score_strip(self, predict: Predict, image: str) -> float:
        """Mean Dice over the classes of one strip."""
        maps, class_probabilities = predict(self.read_strip(image)[None])
        return self._score_maps(image, maps[0], class_probabilities[0])

    def _score_maps(self, image: str, probability: np.ndarray, class_probability: np.ndarray) -> float:
        """Mean Dice of a strip's map ``uint8 [4, H, W]`` and class probabilities ``uint8 [4]``."""
        truth = masks(self._data.labels[image], self._data.height, self._data.width)
        return float(dice(masks_of(probability, class_probability, self.rules), truth).mean())

    def read_strip(self, image: str) -> np.ndarray:
        """A labelled strip, ``uint8 [H, W]``."""
        return strips.read(self._data.paths.train_images / image, (self._data.height, self._data.width))

    def calibration_strips(self) -> list[np.ndarray]:
        """Strips that the member was trained on, ``uint8 [H, W]`` each; three of four have defects."""
        return [self.read_strip(image) for image in self._calibration_images]


def check_dice(subject: str, fold: FoldScorer, predict: Predict) -> dict[str, float]:
    """Score an engine of reduced precision on the fold's held-out strips.

    Returns:
        ``pytorch`` and ``engine``: mean Dice of each; ``strips``: how many were scored.

    Raises:
        EngineRefused: if the engine loses more than ``MAX_DROP``.
    """
    score = fold.score(predict)
    if fold.reference - score > MAX_DROP:
        raise EngineRefused(
            f"{subject} loses {fold.reference - score:.5f} of Dice against PyTorch in float32 over {len(fold.images)} "
            f"held-out strips; accepted are {MAX_DROP}. Choose an engine in float32: --engine openvino or torch"
        )
    return {"pytorch": fold.reference, "engine": score, "strips": len(fold.images)}


def _draw_calibration(data: TrainingSet, fold: int) -> list[str]:
    training = data.images(fold, held_out=False)
    with_defects = [image for image in training if data.labels[image]]
    clean = [image for image in training if not data.labels[image]]
    return _draw_evenly(with_defects, CALIBRATION_STRIPS * 3 // 4) + _draw_evenly(clean, CALIBRATION_STRIPS // 4)


def _draw_evenly(images: list[str], count: int) -> list[str]:
    if len(images) <= count:
        return images
    return [images[i] for i in np.linspace(0, len(images) - 1, count).round().astype(int)]
