"""Small experiments: strips of noise with rectangular defects, and networks of random weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from severstal import recipe, recipe_files
from severstal.artifacts import write_json
from severstal.data import rle, split, strips
from severstal.data.labels import read_labels
from severstal.experiment import FoldConfig, Member
from severstal.models import weights
from severstal.models.unet import build_unet
from severstal.paths import Paths

# Every encoder of every recipe, with a recipe that has it.
RECIPE_OF = {encoder: name for name in recipe_files.names() for encoder in recipe.named(name).encoders}
SMALLEST = "tu-resnet10t"  # encoder of a recipe that is exported in half the time of the others
TINY = {
    "num_folds": 2,
    "encoders": {"tu-mobilenetv4_conv_small": {}},
    "encoder_weights": "none",
    "decoder_channels": [16, 16, 8, 8, 8],
    "crop_height": 64,
    "crop_width": 64,
    "samples_per_epoch": 16,
    "epochs": 3,
    "batch_size": 4,
    "tta": ["horizontal"],
    "num_workers": 0,
}


def write_tiny(root: Path) -> Paths:
    """An experiment of twelve 64x96 strips in two folds, with its recipe and split, nothing trained.

    Every third strip is clean; strip ``number`` of the others shows class ``number % 4 + 1``.
    """
    paths = Paths.under(root)
    write_tiny_strips(paths.train_images, 12)
    rows = []
    for number in range(12):
        if number % 3:  # every third strip is clean
            mask = np.zeros((64, 96), dtype=bool)
            mask[10 + number : 30 + number, 20:60] = True
            rows.append((f"{number:09x}.jpg", number % 4 + 1, rle.encode(mask)))
    pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(paths.train_csv, index=False)
    write_json(paths.recipe, recipe.build({"name": "tiny"} | TINY).model_dump())
    labels = read_labels(paths.train_csv, 64, 96, strips.listing(paths.train_images))
    split.assign_folds(labels, np.arange(12), 2, 0).to_csv(paths.folds_csv, index=False)
    return paths


def write_tiny_strips(folder: Path, count: int) -> None:
    """Strips of noise, each with another one."""
    folder.mkdir(parents=True)
    for number in range(count):
        grey = np.random.default_rng(number).integers(40, 220, (64, 96), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:09x}.jpg"), grey)


def random_member(root: Path, values: recipe.Recipe, encoder: str, size: tuple[int, int], spread: float = 2) -> Member:
    """Fold 0 with random weights, as training leaves it, without out-of-fold maps.

    Args:
        size: height and width of the strips.
        spread: see :func:`write_random_weights`.
    """
    config = FoldConfig(
        encoder=encoder, fold=0, recipe=values, data="d", synthetic=True, height=size[0], width=size[1],
        mean=0.4, std=0.2, versions={},
    )  # fmt: skip
    member = Member(Paths.under(root), encoder, 0)
    write_random_weights(member, config, spread)
    return member


def write_random_weights(member: Member, config: FoldConfig, spread: float = 2) -> None:
    """Write a fold's configuration, and weights whose maps are not flat: a fresh network gives 2 % everywhere.

    Args:
        spread: of the maps; 1 leaves them nearly flat, and at 2 deep networks magnify every rounding.
    """
    torch.manual_seed(member.fold)
    unet = build_unet(config.recipe, member.encoder)
    for layer in unet.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, spread)
    head = getattr(unet, "unet", unet).segmentation_head[0]
    nn.init.normal_(head.weight, std=0.6)
    nn.init.zeros_(head.bias)
    write_json(member.files.config, config.model_dump())
    weights.save(member.files.weights, unet.state_dict(), {"fingerprint": config.fingerprint})
