"""Names inside ``model.onnx``, and the metadata that ties the file to its weights.

Apart from the exporter, so that checking whether a file is current imports no PyTorch.
"""

from __future__ import annotations

import hashlib

import onnx

from severstal.errors import InputError, first_line
from severstal.experiment import Member

GRAPH = "graph"  # metadata: hash of the network, as an ONNX file has no checksum
OPSET = 20
INPUT = "strips"
OUTPUTS = ("probability", "class_probability")


def identity(member: Member) -> dict[str, str]:
    """What an ONNX file is made from, as it stands in the file's metadata."""
    config = member.config()
    return {
        "encoder": member.encoder,
        "fold": str(member.fold),
        "weights": member.weights_hash(),
        "tta": ",".join(config.recipe.tta) or "none",
        "mean": str(config.mean),
        "std": str(config.std),
        "classes": "1,2,3,4",
        "opset": str(OPSET),
    }


def graph_hash(model: onnx.ModelProto) -> str:
    """Hash of a model's layers and weights, the same with every version of protobuf."""
    digest = hashlib.sha256()
    for tensor in model.graph.initializer:
        digest.update(f"{tensor.name} {list(tensor.dims)} {tensor.data_type}".encode() + _content(tensor))
    for node in model.graph.node:
        digest.update(f"{node.op_type} {list(node.input)} {list(node.output)}".encode())
        for value in node.attribute:
            numbers = f"{value.name} {value.i} {value.f} {list(value.ints)} {list(value.floats)}"
            digest.update(numbers.encode() + value.s + _content(value.t))
    return digest.hexdigest()[:16]


def _content(tensor: onnx.TensorProto) -> bytes:
    return tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes() if tensor.data_type else b""


def read_identity(member: Member) -> dict[str, str]:
    """Metadata of the ONNX file on disk.

    Raises:
        InputError: if it is missing or damaged: one whose network differs from the hash that its export wrote.
    """
    path, remake = member.files.onnx, member.export_command
    try:
        model = onnx.load(path)
        found = {entry.key: entry.value for entry in model.metadata_props}
        if GRAPH in found and found[GRAPH] != graph_hash(model):  # earlier exports have none
            raise ValueError("its network is not the one that was exported")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{remake}`") from None
    except Exception as error:  # protobuf's DecodeError, whose module has moved between versions, and ONNX's own
        raise InputError(f"{path} is damaged ({first_line(error)}): delete it and run `{remake}`") from None
    return found


def check_identity(member: Member) -> None:
    """Raise if the ONNX file was made from other weights, or with other test-time views, than the fold has now.

    Raises:
        InputError: naming the first difference and the command that exports again.
    """
    found, expected = read_identity(member), identity(member)
    changed = [key for key, value in expected.items() if found.get(key) != value]
    if changed:
        raise InputError(
            f"{member.files.onnx} belongs to another configuration ({changed[0]} {found.get(changed[0])} where the "
            f"fold has {expected[changed[0]]}): run `{member.export_command}`"
        )
