"""Loading of samples as it is usually written: what the loader's benchmark is relative to.

Per item: ``cv2.imread`` of the whole strip in three channels, its run-length codes into four float32 planes, a crop,
flips, brightness and contrast, normalisation and tensors by albumentations, as public solutions of the competition do.
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


class BaselineDataset(Dataset):
    """Maps a draw's strip to ``(float32 [3, h, w], float32 [h, w, 4])``."""

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

    def __getitem__(self, draw: CropRequest) -> tuple[torch.Tensor, torch.Tensor]:
        strip = cv2.imread(str(self._data.paths.train_images / draw.image))
        masks = np.zeros((self._data.height, self._data.width, len(CLASSES)), dtype=np.float32)
        for defect, code in self._data.labels[draw.image].items():
            masks[:, :, defect - 1] = self._decoded(code)
        made = self._transform(image=strip, mask=masks)
        return made["image"], made["mask"]

    def _decoded(self, code: str) -> np.ndarray:
        """As everybody copied it from the first notebook."""
        words = code.split()
        starts, lengths = (np.asarray(part, dtype=int) for part in (words[::2], words[1::2]))
        flat = np.zeros(self._data.height * self._data.width, dtype=np.uint8)
        for start, length in zip(starts - 1, lengths, strict=True):
            flat[start : start + length] = 1
        return flat.reshape(self._data.width, self._data.height).T
