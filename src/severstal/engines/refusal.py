"""An engine that its checks refused: its own files are deleted, and its record keeps prediction from using it.

Deleting alone would not do: a TensorRT engine is built again where it is missing, and some engines run ``model.onnx``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from severstal.artifacts import CACHED_FROM, read_json, write_json
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
    """Raise if the last export of the member's present weights refused this engine.

    Raises:
        InputError: with the reason.
    """
    path, remake = member.files.sidecar(engine), f"{member.export_command} --engine {engine}"
    if not path.exists():
        return
    record = read_json(path, remake)
    if "refused" in record and record.get("weights") == member.weights_hash():
        raise InputError(f"engine {engine} was refused by its export: {record['refused']} (again: `{remake}`)")
