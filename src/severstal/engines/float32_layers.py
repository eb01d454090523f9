"""Layers that an engine of lower precision keeps in float32, in ``model.<engine>-layers.json``.

Written by the engine's search, which costs minutes to hours; told by export, the check on a GPU and the report.
"""

from __future__ import annotations

from severstal.artifacts import file_hash, read_json, write_json
from severstal.errors import InputError
from severstal.experiment import Member


def write(member: Member, engine: str, precision: str, drop: float, kept: list[str]) -> None:
    """Keep what was found.

    Args:
        drop: Dice that the whole network in the lower precision costs.
        kept: names of layers; empty where the whole network was accepted.
    """
    known = {"onnx": file_hash(member.files.onnx), f"drop_of_all_{precision}": drop, "kept_in_float32": kept}
    write_json(member.files.sidecar(f"{engine}-layers"), known)


def read(member: Member, engine: str) -> list[str] | None:
    """The layers; None where nothing was looked for, or in another graph than ``model.onnx``."""
    try:
        known = read_json(member.files.sidecar(f"{engine}-layers"), "")
        return known["kept_in_float32"] if known["onnx"] == file_hash(member.files.onnx) else None
    except (InputError, KeyError, FileNotFoundError):
        return None


def told(kept: list[str]) -> str:
    """In words, such as ``2 of its layers stay in float32: node_Conv_680, node_Conv_683``."""
    if not kept:
        return "none of its layers stays in float32"
    return f"{len(kept)} of its layers stay in float32: {', '.join(kept)}"
