"""OpenVINO on the CPU in int8: quantised by NNCF on training strips of the same fold.

Where the entire network in int8 loses more Dice than is accepted, NNCF searches for the layers that cause it and keeps
them in float32; ``model.openvino-int8-layers.json`` lists them.
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from severstal.artifacts import temporary_folder
from severstal.console import set_up_logging
from severstal.data.training_set import TrainingSet
from severstal.engines import float32_layers
from severstal.engines.dice_check import MAX_DROP, FoldScorer
from severstal.engines.onnx_file import INPUT
from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.postprocess.rules import Rule

if TYPE_CHECKING:
    import openvino

NAME = "openvino-int8"

logger = logging.getLogger(__name__)


class OpenVinoInt8Engine(OpenVinoEngine):
    """A compiled model of which most convolutions compute in int8."""

    name = NAME
    precision = "int8"
    tolerance = None

    @classmethod
    def build(cls, member: Member, fold: FoldScorer | None = None, max_drop: float = MAX_DROP) -> None:
        """Quantise ``model.onnx``; writes ``model.openvino-int8.xml`` and ``.bin``.

        NNCF works in a process of its own: its search leaves a gigabyte of memory behind, and it has ended its process
        with a segmentation fault after its work was done. So success is a written file, not an exit code.

        Args:
            max_drop: the loss of Dice from which on layers return to float32.

        Raises:
            InputError: if NNCF is not installed, or its process ends without a result.
        """
        if importlib.util.find_spec("nncf") is None:  # prediction does without it
            raise InputError(f"NNCF, which quantises for {NAME}, is not installed: run `.venv/bin/{cls.install}`")
        if fold is None:
            raise InputError(f"{member.name}: int8 needs strips to calibrate on: run `{member.export_command}`")
        result = member.files.float32_layers(NAME)
        result.unlink(missing_ok=True)
        child = multiprocessing.get_context("spawn").Process(target=_quantise, args=(fold.arguments(), max_drop))
        child.start()
        child.join()
        if not result.exists():
            raise InputError(
                f"{member.name}: quantising ended with exit code {child.exitcode}; the reason, if known, stands above. "
                "Run it again, or choose --engine openvino"
            )

    @classmethod
    def own_files(cls, member: Member) -> tuple[Path, ...]:
        graph = member.files.openvino(NAME)
        return graph, graph.with_suffix(".bin"), member.files.float32_layers(NAME)

    @classmethod
    def load(cls, member: Member) -> Self:
        path = cls.exported(member, member.files.openvino(NAME))
        if float32_layers.read(member, NAME) is None:
            remake = f"{member.export_command} --engine {NAME}"
            raise InputError(f"{path} was not made from the present {member.files.onnx.name}: run `{remake}`")
        return cls.read(path)


def _quantise(arguments: tuple[Member, TrainingSet, tuple[Rule, ...]], max_drop: float) -> None:
    """The work of the child process."""
    import nncf
    import openvino

    set_up_logging()
    fold = FoldScorer(*arguments)
    member = fold.member
    nncf.set_log_level(logging.ERROR)
    original = openvino.Core().read_model(member.files.onnx)
    calibration = nncf.Dataset(fold.calibration_strips(), lambda strip: {INPUT: strip[None, None]})
    quantised = nncf.quantize(original, calibration, subset_size=len(fold.calibration_strips()))
    drop = fold.reference - fold.score(OpenVinoEngine.compile(quantised))
    layers: list[str] = []
    if drop > max_drop:
        logger.info("%s: int8 costs %.4f of Dice; searching for the layers that cause it", member.name, drop)
        quantised = _quantise_within(max_drop, original, calibration, fold)
        layers = _float32_convolutions(quantised)
    _save(member, quantised)
    float32_layers.write(member, NAME, "int8", drop, layers)


def _quantise_within(max_drop: float, original: openvino.Model, calibration: Any, fold: FoldScorer) -> openvino.Model:
    """Quantise as many layers as the accepted loss of Dice allows."""
    import nncf

    def score(model: openvino.CompiledModel, images: Iterable[str]) -> tuple[float, list[float]]:
        engine = OpenVinoEngine(model)
        scores = [fold.score_strip(engine, image) for image in images]
        return float(np.mean(scores)), scores

    return nncf.quantize_with_accuracy_control(
        original,
        calibration_dataset=calibration,
        validation_dataset=nncf.Dataset(fold.images),
        validation_fn=score,
        max_drop=max_drop,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=len(fold.calibration_strips()),
    )


def _float32_convolutions(model: openvino.Model) -> list[str]:
    """Names of the convolutions whose weights are not quantised.

    Their inputs would not tell: a quantiser may stand before a concatenation or an enlargement.
    """
    convolutions = (
        node for node in model.get_ordered_ops() if node.get_type_name() in ("Convolution", "GroupConvolution")
    )
    return [node.get_friendly_name() for node in convolutions if not _has_quantised_weights(node)]


def _has_quantised_weights(convolution: openvino.Node) -> bool:
    """Whether the weights are stored in 8 bits, or rounded to them as the model runs."""
    node = convolution.input_value(1).get_node()
    while node.get_type_name() not in ("Constant", "FakeQuantize"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "FakeQuantize" or node.output(0).get_element_type().size == 1


def _save(member: Member, model: openvino.Model) -> None:
    """Write both files under temporary names; the list of layers, written last, shows that both are complete."""
    import openvino

    target = member.files.openvino(NAME)
    with temporary_folder(target) as folder:
        temporary = folder / target.name
        openvino.save_model(model, temporary, compress_to_fp16=False)
        for suffix in (".bin", target.suffix):
            temporary.with_suffix(suffix).replace(target.with_suffix(suffix))
