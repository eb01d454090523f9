"""From weights to ``model.onnx``: PyTorch's exporter, then onnx-simplifier."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import onnx
import onnxsim
import torch

from severstal.artifacts import replacing
from severstal.engines.onnx_file import GRAPH, INPUT, OPSET, OUTPUTS, graph_hash, identity
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models.inference_graph import load_inference_graph

MAX_BATCH = 1024  # strips; the exporter wants a bound for the dynamic dimension


def write_onnx(member: Member, check: Callable[[Path], None] | None = None) -> tuple[int, int]:
    """Export, simplify and write the member's graph; returns its number of nodes before and after.

    Args:
        check: called with the file's temporary path; where it raises, the file is deleted and does not replace
            ``model.onnx``.

    Raises:
        InputError: if the simplified graph gives other outputs than the exported one.
    """
    exported = _export(member)
    simplified, matches = onnxsim.simplify(exported)
    if not matches:
        raise InputError(f"{member.name}: the simplified graph's outputs differ from the exported one's")
    versions = {name: version(name) for name in ("torch", "onnx", "onnxsim")}
    onnx.helper.set_model_props(simplified, identity(member) | versions | {GRAPH: graph_hash(simplified)})
    onnx.checker.check_model(simplified, full_check=True)
    with replacing(member.files.onnx) as temporary:
        onnx.save(simplified, temporary)
        if check:
            check(temporary)
    return len(exported.graph.node), len(simplified.graph.node)


def _export(member: Member) -> onnx.ModelProto:
    """The graph as PyTorch's exporter writes it."""
    config = member.config()
    model = load_inference_graph(member, torch.device("cpu"), concatenate=True)
    strips = torch.zeros((2, 1, config.height, config.width), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "exported.onnx"
        torch.onnx.export(
            model,
            (strips,),
            path,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={"strips": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return onnx.load(path)
