"""Training of the small experiment."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from severstal import recipe
from severstal.data.training_set import read_training_set
from severstal.experiment import Member
from severstal.training.job import Job

ENCODER = "tu-mobilenetv4_conv_small"


def job(paths, given=None, fold=0) -> Job:
    return Job.of(Member(paths, ENCODER, fold), read_training_set(paths), recipe.read(paths.recipe), given or {})


def weights_of(paths, fold=0) -> dict[str, torch.Tensor]:
    return load_file(paths.fold(ENCODER, fold).weights)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
