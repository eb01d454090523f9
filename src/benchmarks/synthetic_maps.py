"""Out-of-fold maps of a network that was never trained, made from real masks: for timing at full size.

Each class occurs as often as in the competition. Where it does, its mask is moved a little, blurred, scaled by a
confidence, and sometimes missed; everywhere there is smooth noise, and sometimes a false blob.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from severstal.data import out_of_fold
from severstal.data.labels import CLASSES, Labels
from severstal.data.rle import decode
from severstal.errors import InputError
from severstal.inference.submission import TRAINING_SHARES
from severstal.processes import process_pool

FOLDS = 5
NOISES = 24  # fields of noise, moved at random: enough that no two maps are alike


class SyntheticMaps:
    """Maps and truth of ``count`` strips in five folds, kept on disk in the form of real ones."""

    def __init__(self, folder: Path, labels: Labels, count: int, height: int, width: int) -> None:
        """Make the maps.

        Args:
            labels: real masks; each is used about equally often.

        Raises:
            InputError: if a class has no mask to draw from.
        """
        self.encoders, self.height, self.width = ["synthetic"], height, width
        self.has_heads = False
        self._pools = {defect: [codes[defect] for codes in labels.values() if defect in codes] for defect in CLASSES}
        lacking = [defect for defect, pool in self._pools.items() if not pool]
        if lacking:
            raise InputError(f"the labels hold no mask of class {lacking[0]}: name a file with all four by --labels")
        images = [f"{number:09x}.jpg" for number in range(count)]
        self.folds = [images[start::FOLDS] for start in range(FOLDS)]
        self._codes = self._draw(images)
        files = [folder / f"{fold}.npz" for fold in range(FOLDS)]
        with process_pool():
            Parallel(n_jobs=-1)(delayed(self._write)(fold, file) for fold, file in enumerate(files))
        self.stores = [out_of_fold.FoldMaps(file, "the benchmark again") for file in files]

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        return [self.stores[fold][image]]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        return [self.stores[fold].class_probability(image)]

    def truth(self, image: str) -> dict[int, np.ndarray]:
        return {defect: decode(code, self.height, self.width) for defect, code in self._codes[image].items()}

    def _draw(self, images: list[str]) -> Labels:
        rng = np.random.default_rng(0)
        codes: Labels = {image: {} for image in images}
        for defect, share in zip(CLASSES, TRAINING_SHARES, strict=True):
            pool = self._pools[defect]
            for number, place in enumerate(rng.permutation(len(images))[: round(share * len(images))]):
                codes[images[place]][defect] = pool[number % len(pool)]
        return codes

    def _write(self, fold: int, file: Path) -> None:
        out_of_fold.write(file, self._maps_of_fold(fold), {})

    def _maps_of_fold(self, fold: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(fold)
        noises = [self._noise(rng) for _ in range(NOISES)]
        for image in self.folds[fold]:
            truth = self.truth(image)
            maps = np.stack([self._map(rng, noises, truth.get(defect)) for defect in CLASSES])
            yield image, maps, maps.max(axis=(1, 2))

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """What a network sees in clean steel, of 255: mostly nothing, here and there a faint cloud."""
        fine = cv2.GaussianBlur(rng.normal(0, 1, (self.height, self.width)).astype(np.float32), (0, 0), 3)
        broad = cv2.GaussianBlur(rng.normal(0, 1, (self.height, self.width)).astype(np.float32), (0, 0), 20)
        return 255 / (1 + np.exp(8.5 - 0.6 * fine / fine.std() - 2.2 * broad / broad.std()))

    def _map(self, rng: np.random.Generator, noises: list[np.ndarray], truth: np.ndarray | None) -> np.ndarray:
        field = np.roll(noises[rng.integers(len(noises))], rng.integers(self.width), axis=1).copy()
        if truth is not None and rng.random() > 0.1:
            moved = np.roll(truth, rng.integers(-4, 5, 2), axis=(0, 1)).astype(np.float32)
            soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(2, 8))
            field += soft * rng.uniform(120, 255)
        if rng.random() < 0.1:
            field += self._blob(rng)
        return np.clip(field, 0, 255).astype(np.uint8)

    def _blob(self, rng: np.random.Generator) -> np.ndarray:
        """A false positive."""
        centre = (int(rng.integers(self.width)), int(rng.integers(self.height)))
        axes = (int(rng.integers(5, 90)), int(rng.integers(5, 60)))
        blob, angle = np.zeros((self.height, self.width), np.float32), rng.uniform(0, 180)
        cv2.ellipse(blob, centre, axes, angle, 0, 360, 1, -1)
        return cv2.GaussianBlur(blob, (0, 0), 4) * rng.uniform(60, 240)
