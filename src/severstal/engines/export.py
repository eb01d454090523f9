"""From weights to ``model.onnx``: PyTorch's exporter, onnx-simplifier, and checks on real strips after each."""

from __future__ import annotations

import logging
import warnings
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch

from severstal.artifacts import replacing
from severstal.engines.base import Engine, Tolerance
from severstal.engines.dice_check import LARGEST_DROP, FoldDice
from severstal.engines.onnx_file import INPUT, OPSET, OUTPUTS, identity
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models.inference_graph import load_inference_graph


def write_onnx(member: Member) -> tuple[int, int]:
    """Export, simplify and write the member's graph; returns its number of nodes before and after."""
    model = load_inference_graph(member, torch.device("cpu"))
    config = member.config()
    with replacing(member.files.onnx.with_suffix(".raw.onnx")) as raw:
        _export(model, (config.height, config.width), raw)
        exported = onnx.load(raw)
        raw_nodes = len(exported.graph.node)
        simplified, matches = onnxsim.simplify(exported)
    member.files.onnx.with_suffix(".raw.onnx").unlink(missing_ok=True)
    if not matches:
        raise InputError(f"{member.name}: the simplified graph's outputs differ from the exported one's")
    versions = {name: version(name) for name in ("torch", "onnx", "onnxsim")}
    onnx.helper.set_model_props(simplified, identity(member) | versions)
    onnx.checker.check_model(simplified, full_check=True)
    with replacing(member.files.onnx) as temporary:
        onnx.save(simplified, temporary)
    return raw_nodes, len(simplified.graph.node)


def _export(model: torch.nn.Module, size: tuple[int, int], path: Path) -> None:
    strips = torch.zeros((2, 1, *size), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (strips,),
            path,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={"strips": {0: torch.export.Dim("batch", min=1, max=1024)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@dataclass(frozen=True)
class Parity:
    """How an engine's 8-bit maps differ from PyTorch's, over the strips it was checked on."""

    strips: int
    largest: int  # of 255
    mean: float  # of 255
    flipped: float  # share of pixels, over the four classes, on the other side of the threshold
    class_probability: int  # largest difference of a presence, of 255

    def as_json(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        told = f"largest difference {self.largest}/255, mean {self.mean:.2g}/255, {self.flipped:.2g} of pixels flip"
        return f"{told}, of a presence {self.class_probability}/255" if self.class_probability > self.largest else told


def compare(reference: Engine, engine: Engine, strips: np.ndarray, thresholds: list[int]) -> Parity:
    """Run both on ``uint8 [N, H, W]`` and compare the probabilities at the tuned thresholds."""
    rule = np.array(thresholds)[None, :, None, None]
    largest, total, flipped, pixels, class_probability = 0, 0, 0, 0, 0
    for strip in strips:
        (expected, sure), (got, got_sure) = reference(strip[None]), engine(strip[None])
        class_probability = max(class_probability, int(np.abs(sure.astype(np.int16) - got_sure).max()))
        difference = np.abs(expected.astype(np.int16) - got)
        largest, total = max(largest, int(difference.max())), total + int(difference.sum())
        flipped += int(np.count_nonzero((expected >= rule) != (got >= rule)))
        pixels += difference.size
    return Parity(len(strips), largest, total / pixels, flipped / pixels, class_probability)


def check_dice(what: str, fold: FoldDice, engine: Engine) -> dict[str, float]:
    """Score a reduced-precision engine on the fold's held-out strips; raise if it loses more than is accepted."""
    found = fold.of(engine)
    if fold.reference - found > LARGEST_DROP:
        raise InputError(
            f"{what} loses {fold.reference - found:.5f} of Dice against PyTorch in float32 over {len(fold.images)} "
            f"held-out strips; accepted are {LARGEST_DROP}. Choose an engine in float32: --engine openvino or torch"
        )
    return {"pytorch": fold.reference, "engine": found, "strips": len(fold.images)}


def check_parity(what: str, parity: Parity, tolerance: Tolerance | None) -> None:
    """Raise if an engine strays further than its tolerance."""
    if tolerance is None:
        return
    if max(parity.largest, parity.class_probability) > tolerance.levels or parity.flipped > tolerance.flipped:
        raise InputError(
            f"{what} does not match PyTorch: {parity}; tolerated are {tolerance.levels}/255 and {tolerance.flipped:g} "
            "of pixels. Nothing was kept; predict with --engine torch, or choose another engine"
        )
