"""Training of the small experiment."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from severstal import recipe
from severstal.artifacts import write_json
from severstal.data.training_set import read_training_set
from severstal.experiment import Member
from severstal.models import weights
from severstal.paths import Paths
from severstal.training.job import Job
from severstal.training.trainer import Trainer

ENCODER = "tu-mobilenetv4_conv_small"
SHARED_VALUES: dict[str, Any] = {"tta": [], "amp": "off", "classifier_loss_weight": 0.5}  # of the shared training


def job(paths: Paths, given: dict[str, Any] | None = None, fold: int = 0) -> Job:
    """The training of a fold, with values as the command line gives them."""
    return Job.of(Member(paths, ENCODER, fold), read_training_set(paths), recipe.read(paths), given or {})


def teach(paths: Paths, fold: int, given: dict[str, Any] | None = None) -> Member:
    """A fold with the files of a training that is taken for done."""
    done = job(paths, given, fold)
    write_json(done.member.files.config, done.new_config().model_dump())
    weights.save(done.member.files.weights, {"layer": torch.zeros(1)}, {"fingerprint": done.fingerprint})
    return done.member


def is_finished(job: Job) -> bool:
    """Whether neither the network nor its maps would be computed again."""
    return job.is_trained() and not job.map_differences()


def weights_of(paths: Paths, fold: int = 0) -> dict[str, torch.Tensor]:
    return load_file(paths.fold(ENCODER, fold).weights)


def log_of(paths: Paths, fold: int = 0) -> list[dict[str, Any]]:
    """The records of ``log.jsonl``."""
    return [json.loads(line) for line in paths.fold(ENCODER, fold).log.read_text().splitlines()]


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def interrupt(training: Job, epoch: int, **options: Any) -> None:
    """Run a job and press Ctrl-C when an epoch begins; the options are those of :meth:`Job.run`."""
    run_epoch = Trainer._run_epoch

    def interrupted(trainer: Trainer, number: int) -> Any:
        if number == epoch:
            raise KeyboardInterrupt
        return run_epoch(trainer, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_run_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.run(**options)
