"""The networks that predict: those with a weight in the tuned ensemble, each trained, exported and tuned with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from severstal import recipe
from severstal.artifacts import file_hash, fingerprint
from severstal.commands import command
from severstal.engines import catalog, onnx_file
from severstal.engines.refusal import check_not_refused
from severstal.errors import InputError
from severstal.experiment import Member, all_members
from severstal.paths import Paths
from severstal.postprocess.tuned_values import TunedValues


def ready_members(paths: Paths, tuned: TunedValues, engine: str | None = None) -> list[Member]:
    """The members of the ensemble; an encoder to which tuning gave the weight 0 is left out.

    Args:
        engine: that runs them, see :func:`check_ready`.

    Raises:
        InputError: as :func:`check_ready`.
    """
    members = [
        member for member in all_members(paths, recipe.read(paths)) if tuned.ensemble_weights.get(member.encoder, 1)
    ]
    for member in members:
        check_ready(member, tuned, engine)
    return members


def check_ready(member: Member, tuned: TunedValues, engine: str | None = None) -> None:
    """Check that a member is exported and that the values were tuned with its weights.

    Args:
        engine: that runs it; one that runs the PyTorch network, not the ONNX file, needs no export. None: any engine.

    Raises:
        InputError: if it is missing, was trained or exported at another time, or its export refused the engine; names
            the command to run.
    """
    if tuned.members.get(member.name) != member.weights_hash():
        raise InputError(f"{member.name} was trained after tuning: run `{command(member.paths, 'tune')}` again")
    if engine is None or catalog.engine_class(engine).reads_onnx:
        onnx_file.check_identity(member)
    if engine is not None:
        check_not_refused(member, engine)


def identity(members: Sequence[Member], tuned: TunedValues, engine: str) -> dict[str, Any]:
    """All that decides a strip's masks, by name: the networks, their weights in the mean, the rules, the engine."""
    return {
        "networks": {member.name: _network(member, engine) for member in members},
        "ensemble weights": {member.encoder: tuned.ensemble_weights[member.encoder] for member in members},
        "rules": [rule.model_dump(mode="json") for rule in tuned.rules],
        "engine": engine,
    }


def _network(member: Member, engine: str) -> str:
    """Hash of what the engine runs: the ONNX file, or the weights with all that shapes PyTorch's graph."""
    reads_onnx = catalog.engine_class(engine).reads_onnx
    return file_hash(member.files.onnx) if reads_onnx else fingerprint(onnx_file.identity(member))
