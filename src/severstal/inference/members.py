"""The networks that predict: those with a weight in the tuned ensemble, each trained, exported and tuned with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from severstal import recipe
from severstal.artifacts import file_hash
from severstal.commands import command
from severstal.engines import onnx_file
from severstal.errors import InputError
from severstal.experiment import Member, all_members
from severstal.paths import Paths
from severstal.postprocess.tuned_values import TunedValues


def ready_members(paths: Paths, tuned: TunedValues) -> list[Member]:
    """The members of the ensemble; an encoder to which tuning gave the weight 0 is left out.

    Raises:
        InputError: as :func:`check_ready`.
    """
    members = [
        member for member in all_members(paths, recipe.read(paths)) if tuned.ensemble_weights.get(member.encoder, 1)
    ]
    for member in members:
        check_ready(member, tuned)
    return members


def check_ready(member: Member, tuned: TunedValues) -> None:
    """Check that a member is exported and that the values were tuned with its weights.

    Raises:
        InputError: if it is missing, or was trained or exported at another time; names the command to run.
    """
    if tuned.members.get(member.name) != member.weights_hash():
        raise InputError(f"{member.name} was trained after tuning: run `{command(member.paths, 'tune')}` again")
    onnx_file.check_identity(member)


def identity(members: Sequence[Member], tuned: TunedValues, engine: str) -> dict[str, Any]:
    """All that decides a strip's masks, by name: the networks, their weights in the mean, the rules, the engine."""
    return {
        "networks": {member.name: file_hash(member.files.onnx) for member in members},
        "ensemble weights": {member.encoder: tuned.ensemble_weights[member.encoder] for member in members},
        "rules": [rule.model_dump(mode="json") for rule in tuned.rules],
        "engine": engine,
    }
