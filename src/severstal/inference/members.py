"""The networks that predict: those with a say in the tuned blend, each trained, exported and tuned with."""

from __future__ import annotations

from severstal import recipe
from severstal.engines import onnx_file
from severstal.errors import InputError
from severstal.experiment import Member, all_members
from severstal.paths import Paths
from severstal.postprocess.tuned_values import TunedValues


def ready_members(paths: Paths, values: TunedValues) -> list[Member]:
    """Members to run; tuning may have found an encoder to be of no help, and that one is left out.

    Raises:
        InputError: if one is missing, or is not of the weights that the values were tuned with.
    """
    members = [
        member
        for member in all_members(paths, recipe.read(paths.recipe))
        if values.ensemble_weights.get(member.encoder, 1)
    ]
    for member in members:
        check_ready(member, values)
    return members


def check_ready(member: Member, values: TunedValues) -> None:
    """Raise if a member is missing, or is not of the weights that the values were tuned with."""
    if values.members.get(member.name) != member.weights_hash():
        raise InputError(f"{member.name} was trained after tuning: run `bash bin/tune.sh` again")
    onnx_file.check_identity(member)
