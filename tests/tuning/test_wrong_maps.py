"""Out-of-fold maps that are not those of the networks and strips at hand stop tuning, and no file changes."""

from __future__ import annotations

import pytest
import torch
from support.commands import run_refused
from support.files import cut_in_half
from support.untrained_folds import random_maps, write_untrained_folds

from severstal.data import out_of_fold
from severstal.models import weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda job: out_of_fold.write(job.member.files.oof, random_maps(job)[1:], job._oof_meta()),
            "and fold 0 differ in",
        ),
        (
            lambda job: weights.save(job.member.files.weights, {"layer": torch.ones(1)}, {}),
            "is not of the weights beside it",
        ),
        (
            lambda job: out_of_fold.write(job.member.files.oof, random_maps(job), job._oof_meta() | {"tta": ["both"]}),
            "was predicted with other test-time augmentation",
        ),
        (
            lambda job: out_of_fold.write(
                job.member.files.oof, [*random_maps(job), random_maps(job)[0]], job._oof_meta()
            ),
            "twice",
        ),
        (lambda job: job.member.files.oof.unlink(), "is missing"),
        (lambda job: cut_in_half(job.member.files.oof), "is damaged"),
    ],
    ids=["lacks a strip", "of other weights", "of other flips", "a strip twice", "missing", "cut short"],
)
def test_tuning_refuses_maps_that_are_not_of_these_networks_and_strips(tiny, change, message) -> None:
    job = write_untrained_folds(tiny)
    change(job)
    error = run_refused("tune", tiny)
    assert message in error
    assert str(job.member.files.oof) in error
    assert job.member.remake in error
