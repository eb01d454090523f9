"""What a lower precision costs in the score: Dice of a fold's own held-out strips at the tuned values.

PyTorch's side of the comparison is on disk already, as the fold's out-of-fold maps.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from severstal.data import out_of_fold, strips
from severstal.data.labels import masks
from severstal.data.training_set import TrainingSet
from severstal.engines.base import Engine
from severstal.experiment import Member
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import Rule, masks_of

LARGEST_DROP = 0.001  # of mean Dice, for an engine to be accepted
STRIPS = 600  # at most; drawn evenly from the fold's
CALIBRATION = 64  # training strips that int8 ranges are measured on


class FoldDice:
    """Scores engines of one member on the strips that it was not trained on."""

    def __init__(self, member: Member, data: TrainingSet, rules: tuple[Rule, ...]) -> None:
        self.member, self._data, self._cuts = member, data, rules
        self._store = out_of_fold.Store(member.files.oof, member.remake)
        self.images = _evenly(data.images(member.fold, held_out=True), STRIPS)
        training = data.images(member.fold, held_out=False)
        defects, clean = (
            [image for image in training if bool(data.labels[image]) == with_defects] for with_defects in (True, False)
        )
        self._calibration = _evenly(defects, CALIBRATION * 3 // 4) + _evenly(clean, CALIBRATION // 4)
        self.reference = float(
            np.mean(
                [self.score(image, self._store[image], self._store.class_probability(image)) for image in self.images]
            )
        )

    def parts(self) -> tuple[Member, TrainingSet, tuple[Rule, ...]]:
        """What another process makes the same from."""
        return self.member, self._data, self._cuts

    def score(self, image: str, probability: np.ndarray, class_probability: np.ndarray) -> float:
        """Mean Dice over the classes of a strip's ``uint8 [4, H, W]`` map and ``uint8 [4]`` presences."""
        truth = masks(self._data.labels[image], self._data.height, self._data.width)
        return float(dice(masks_of(probability, class_probability, self._cuts), truth).mean())

    def of(self, engine: Engine) -> float:
        """Mean Dice of an engine over the fold's strips."""
        bar = tqdm(self.images, "Dice of the fold", leave=False, disable=None)
        return float(np.mean([self.of_strip(engine, image) for image in bar]))

    def of_strip(self, engine: Engine, image: str) -> float:
        """Mean Dice of an engine over the classes of a strip."""
        maps, class_probabilities = engine(self.strip(image)[None])
        return self.score(image, maps[0], class_probabilities[0])

    def strip(self, image: str) -> np.ndarray:
        return strips.read_sized(self._data.paths.train_images / image, self._data.height, self._data.width)

    def calibration(self) -> list[np.ndarray]:
        """Strips that the member was trained on, ``uint8 [H, W]`` each."""
        return [self.strip(image) for image in self._calibration]


def _evenly(images: list[str], count: int) -> list[str]:
    if len(images) <= count:
        return images
    return [images[i] for i in np.linspace(0, len(images) - 1, count).round().astype(int)]
