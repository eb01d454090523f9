"""The networks that predict: those with a say in the tuned blend, each trained, exported and tuned with."""

from __future__ import annotations

from severstal import onnx_file, recipe
from severstal.errors import InputError
from severstal.member import Member, members
from severstal.paths import Paths
from severstal.postprocess import Tuning


def ready_team(paths: Paths, values: Tuning) -> list[Member]:
    """Members to run; tuning may have found an encoder to be of no help, and that one is left out.

    Raises:
        InputError: if one is missing, or is not of the weights that the values were tuned with.
    """
    team = [member for member in members(paths, recipe.read(paths.recipe)) if values.blend.get(member.encoder, 1)]
    for member in team:
        check_ready(member, values)
    return team


def check_ready(member: Member, values: Tuning) -> None:
    """Raise if a member is missing, or is not of the weights that the values were tuned with."""
    if values.members.get(member.name) != member.weights_hash():
        raise InputError(f"{member.name} was trained after tuning: run `bash bin/tune.sh` again")
    onnx_file.check_identity(member)
