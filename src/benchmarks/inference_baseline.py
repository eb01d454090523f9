"""Inference without any engine: what the benchmark's figures are relative to.

Both baselines run PyTorch in float32, average the same flipped views, apply the same rules and write a CSV file.
:class:`BatchedBaseline` is what a careful engineer writes first, and the headline is relative to it;
:class:`NaiveBaseline` is the loop of many a notebook.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from severstal.data import rle
from severstal.data.labels import CLASSES
from severstal.engines.base import BATCH_SIZE
from severstal.experiment import Member
from severstal.models import weights
from severstal.models.inference_graph import FLIP_AXES
from severstal.models.unet import build_unet, split_output
from severstal.postprocess.rules import Rule

Row = tuple[str, int, str]


class NaiveBaseline:
    """One strip at a time: read, normalise, predict every view, apply the rules, encode. Nothing overlaps."""

    memory_format = torch.contiguous_format

    def __init__(self, member: Member, rules: tuple[Rule, ...]) -> None:
        self._config, self._rules = member.config(), rules
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = build_unet(self._config.recipe, member.encoder).eval()
        weights.load(member.files.weights, self._network, member.remake)
        self._network.to(self._device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def predict(self, folder: Path, images: list[str]) -> None:
        """Strips of a folder to a CSV file."""
        rows = []
        for image in images:
            for probabilities in self._average_views(self._read(folder / image)[None]):
                rows += self._encode(image, *probabilities)
        self._write(rows)

    def _read(self, path: Path) -> np.ndarray:
        """A normalised strip, ``float32 [1, H, W]``."""
        image = cv2.imread(str(path))
        assert image is not None, f"{path} cannot be read"
        grey = image[:, :, 0].astype(np.float32) / 255
        return ((grey - self._config.mean) / self._config.std)[None].astype(np.float32)

    @torch.inference_mode()
    def _average_views(self, strips: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Probabilities ``float32 [4, H, W]`` and class probabilities ``float32 [4]`` of strips ``[N, 1, H, W]``."""
        batch = torch.from_numpy(strips).to(self._device, memory_format=self.memory_format)
        maps, class_probabilities = [], []
        for axes in ((), *(FLIP_AXES[flip] for flip in self._config.recipe.tta)):
            logits, class_logits = split_output(self._network(torch.flip(batch, axes)))
            maps.append(torch.flip(torch.sigmoid(logits), axes))
            class_probabilities.append(
                maps[-1].amax(dim=(2, 3)) if class_logits is None else torch.sigmoid(class_logits)
            )
        means = (torch.stack(views).mean(dim=0).cpu().numpy() for views in (maps, class_probabilities))
        return zip(*means, strict=True)

    def _encode(self, image: str, probability: np.ndarray, class_probability: np.ndarray) -> list[Row]:
        levels, class_levels = ((values * 255).round().astype(np.uint8) for values in (probability, class_probability))
        return [
            (image, defect, rle.encode(rule.apply(class_map, class_level)))
            for defect, class_map, class_level, rule in zip(CLASSES, levels, class_levels, self._rules, strict=True)
        ]

    def _write(self, rows: Iterable[Row]) -> None:
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(file.name, index=False)


class BatchedBaseline(NaiveBaseline):
    """Batches in channels-last memory format; two threads decode ahead of the network."""

    memory_format = torch.channels_last

    def predict(self, folder: Path, images: list[str]) -> None:
        """Strips of a folder to a CSV file."""
        rows = []
        with ThreadPoolExecutor(2) as threads:
            decoded = threads.map(self._read, (folder / image for image in images))
            for start in range(0, len(images), BATCH_SIZE):
                batch = images[start : start + BATCH_SIZE]
                strips = np.stack([next(decoded) for _ in batch])
                for image, probabilities in zip(batch, self._average_views(strips), strict=True):
                    rows += self._encode(image, *probabilities)
        self._write(rows)
