"""An engine that its checks refused: its own files are deleted, and its record keeps prediction from using it.

Deleting alone would not do: a TensorRT engine is built again where it is missing, and some engines run ``model.onnx``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from severstal.artifacts import CACHED_FROM, read_json, write_json
from severstal.engines import catalog
from severstal.engines.base import Engine
from severstal.errors import EngineRefused, InputError
from severstal.experiment import Member

logger = logging.getLogger(__name__)


@contextmanager
def recorded_refusal(member: Member, engine_class: type[Engine]) -> Iterator[None]:
    """If a check within refuses the engine, delete its own files and write the reason into ``model.<engine>.json``."""
    try:
        yield
    except EngineRefused as error:
        written = [file for file in engine_class.own_files(member) if file.exists()]
        for file in written:
            file.unlink()
        if written:
            logger.info("%s: deleted %s", member.name, ", ".join(file.name for file in written))
        record = {"engine": engine_class.name, "weights": member.weights_hash(), "refused": str(error)}
        write_json(member.files.sidecar(engine_class.name), record | {CACHED_FROM: None})
        raise


def check_not_refused(member: Member, engine: str) -> None:
    """Raise if the last check of this engine with the member's present weights refused it.

    Raises:
        InputError: with the reason.
    """
    reason = _reason(member, member.files.sidecar(engine))
    if reason:
        remake = f"{member.export_command} --engine {engine}"
        raise InputError(f"engine {engine} was refused by its check: {reason} (to try again: `{remake}`)")


def refusals(member: Member) -> list[Path]:
    """The records of all engines that were refused with the member's present weights."""
    return [path for path in map(member.files.sidecar, catalog.NAMES) if _reason(member, path)]


def _reason(member: Member, record: Path) -> str | None:
    """Why an engine was refused; None where it was not, or with other weights."""
    if not record.exists():
        return None
    content = read_json(record, member.export_command)
    return content.get("refused") if content.get("weights") == member.weights_hash() else None
