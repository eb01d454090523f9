"""Folds that look trained: every file that training leaves, with random content, in a fraction of a second."""

from __future__ import annotations

import numpy as np
import torch

from severstal import recipe
from severstal.artifacts import write_json
from severstal.data import out_of_fold
from severstal.data.training_set import read_training_set
from severstal.experiment import Member
from severstal.models import weights
from severstal.paths import Paths
from severstal.training.job import Job
from support.training import ENCODER, is_finished

NO_CLASS = np.zeros(4, dtype=np.uint8)  # class probabilities of a network without a classifier


def write_untrained_folds(paths: Paths) -> Job:
    """Write every fold of the small experiment; the job of the first one."""
    data, chosen = read_training_set(paths), recipe.read(paths)
    jobs = [Job.of(Member(paths, ENCODER, fold), data, chosen, {}) for fold in range(chosen.num_folds)]
    for job in jobs:
        files = job.member.files
        write_json(files.config, job.new_config().model_dump())
        weights.save(files.weights, {"layer": torch.zeros(100)}, {"fingerprint": job.fingerprint})
        out_of_fold.write(files.oof, random_maps(job), job._oof_meta())
        assert is_finished(job)
    return jobs[0]


def random_maps(job: Job) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Random maps of the fold's held-out strips."""
    rng = np.random.default_rng(0)
    images = job.data.images(job.member.fold, held_out=True)
    return [(image, rng.integers(0, 255, (4, 64, 96), dtype=np.uint8), NO_CLASS) for image in images]
