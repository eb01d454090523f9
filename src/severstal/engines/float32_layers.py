"""The layers that an engine of lower precision keeps in float32, in ``model.<engine>-layers.json``.

The search for them takes minutes to hours, so its result is a file of its own. Export, the GPU check and the report
show it.
"""

from __future__ import annotations

from severstal.artifacts import file_hash, read_json, write_json
from severstal.errors import InputError
from severstal.experiment import Member


def write(member: Member, engine: str, precision: str, drop: float, layers: list[str]) -> None:
    """Write the result of a search.

    Args:
        drop: Dice that the entire network in the lower precision loses.
        layers: names of the layers in float32; empty where the entire network was accepted.
    """
    record = {"onnx": file_hash(member.files.onnx), f"drop_of_all_{precision}": drop, "kept_in_float32": layers}
    write_json(member.files.float32_layers(engine), record)


def read(member: Member, engine: str) -> list[str] | None:
    """The layers in float32; None where no search was made for the present ``model.onnx``."""
    try:
        record = read_json(member.files.float32_layers(engine), "")
        layers: list[str] = record["kept_in_float32"]
        return layers if record["onnx"] == file_hash(member.files.onnx) else None
    except (InputError, KeyError, FileNotFoundError):
        return None


def describe(layers: list[str]) -> str:
    """Such as ``2 of its layers stay in float32: node_Conv_680, node_Conv_683``."""
    if not layers:
        return "none of its layers stays in float32"
    return f"{len(layers)} of its layers stay in float32: {', '.join(layers)}"
