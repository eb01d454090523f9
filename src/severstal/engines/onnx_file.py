"""Names inside ``model.onnx``, and the metadata that ties the file to its weights.

Apart from the exporter, so that checking whether a file is current imports no PyTorch.
"""

from __future__ import annotations

import onnx

from severstal.errors import InputError, first_line
from severstal.experiment import Member

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


def read_identity(member: Member) -> dict[str, str]:
    """Metadata of the ONNX file on disk.

    Raises:
        InputError: if it is missing or truncated.
    """
    path, remake = member.files.onnx, f"bash bin/export.sh {member.encoder} {member.fold}"
    try:
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{remake}`") from None
    except Exception as error:  # protobuf's DecodeError; its module has moved between versions
        raise InputError(f"{path} is damaged ({first_line(error)}): delete it and run `{remake}`") from None


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
            f"fold has {expected[changed[0]]}): run `bash bin/export.sh {member.encoder} {member.fold}`"
        )
