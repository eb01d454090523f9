"""Loading of training crops as it is usually implemented: the baseline of the loader's benchmark.

Per sample: ``cv2.imread`` of the whole strip in three channels, its run-length codes decoded into four float32
masks, then crop, flips, brightness and contrast, normalisation and tensors by albumentations. Public solutions of the
competition do it this way.
"""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from torch.utils.data import Dataset

from severstal.data.labels import CLASSES
from severstal.data.training_set import TrainingSet
from severstal.training.sampling import CropRequest


class BaselineDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Maps a request's strip to a crop ``float32 [3, h, w]`` and its masks ``float32 [h, w, 4]``."""

    def __init__(self, data: TrainingSet, height: int, width: int) -> None:
        self._data = data
        self._transform = A.Compose(
            [
                A.RandomCrop(height, width),
                A.HorizontalFlip(),
                A.VerticalFlip(),
                A.RandomBrightnessContrast(),
                A.Normalize(),
                ToTensorV2(),
            ]
        )

    def __getitem__(self, request: CropRequest) -> tuple[torch.Tensor, torch.Tensor]:
        strip = cv2.imread(str(self._data.paths.train_images / request.image))
        masks = np.zeros((self._data.height, self._data.width, len(CLASSES)), dtype=np.float32)
        for defect, code in self._data.labels[request.image].items():
            masks[:, :, defect - 1] = self._decode(code)
        transformed = self._transform(image=strip, mask=masks)
        return transformed["image"], transformed["mask"]

    def _decode(self, code: str) -> np.ndarray:
        """The run-length decoder of the competition's public notebooks."""
        numbers = code.split()
        starts, lengths = (np.asarray(part, dtype=int) for part in (numbers[::2], numbers[1::2]))
        flat = np.zeros(self._data.height * self._data.width, dtype=np.uint8)
        for start, length in zip(starts - 1, lengths, strict=True):
            flat[start : start + length] = 1
        return flat.reshape(self._data.width, self._data.height).T
