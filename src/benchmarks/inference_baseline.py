"""Inference as it is usually written: what the benchmark's figures are relative to.

Eager PyTorch in float32, one strip at a time: read, normalise, every flipped view through the network, sigmoid,
mean, the same post-processing, run-length codes, a data frame. Nothing overlaps anything.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from severstal.data import rle
from severstal.data.labels import CLASSES
from severstal.experiment import Member
from severstal.models import weights
from severstal.models.inference_graph import FLIP_AXES
from severstal.models.unet import build_unet
from severstal.postprocess.tuned_values import Rule, mask


class BaselineLoop:
    """A member's network in the usual loop."""

    def __init__(self, member: Member, rules: tuple[Rule, ...]) -> None:
        self._config, self._cuts = member.config(), rules
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = build_unet(self._config.recipe, member.encoder, pretrained=False).eval()
        weights.load(member.files.weights, self._network, member.remake)
        self._network.to(self._device)

    @torch.inference_mode()
    def predict(self, folder: Path, images: list[str]) -> None:
        """Strips of a folder to a CSV file."""
        rows = []
        for image in images:
            grey = cv2.imread(str(folder / image))[:, :, 0].astype(np.float32) / 255
            strip = torch.from_numpy((grey - self._config.mean) / self._config.std)[None, None]
            probability = self._views(strip.to(self._device))[0].cpu().numpy()
            for defect, one, rule in zip(CLASSES, probability, self._cuts, strict=True):
                eight_bit = (one * 255).round().astype(np.uint8)
                rows.append((image, defect, rle.encode(mask(eight_bit, rule, eight_bit.max()))))
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(file.name, index=False)

    def _views(self, strip: torch.Tensor) -> torch.Tensor:
        axes = [FLIP_AXES[flip] for flip in self._config.recipe.tta]
        views = [torch.sigmoid(self._network(strip))]
        views += [torch.flip(torch.sigmoid(self._network(torch.flip(strip, one))), one) for one in axes]
        return torch.stack(views).mean(dim=0)
