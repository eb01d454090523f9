"""Which steps there are, and their sizes: the whole check, the quick one, and one without a GPU that proves them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gpu.steps import Step

BASE = ("torch", "timm", "segmentation_models_pytorch", "albumentations", "pydantic", "safetensors", "cv2")
KAGGLE_ENCODERS = ("efficientnet-b3", "se_resnext50_32x4d", "resnet34", "tu-convnext_tiny")
PACKAGES = {
    "torch": (),
    "torch-fp16": (),
    "onnxruntime": ("onnxruntime", "onnx", "onnxsim", "onnxscript"),
    "openvino": ("openvino", "onnx", "onnxsim", "onnxscript"),
    "tensorrt-fp32": ("tensorrt|tensorrt_rtx", "onnx", "onnxsim", "onnxscript"),
    "tensorrt": ("tensorrt|tensorrt_rtx", "onnx", "onnxsim", "onnxscript"),
    "tensorrt-int8": ("tensorrt|tensorrt_rtx", "onnx", "onnxsim", "onnxscript", "onnxruntime"),
}


@dataclass(frozen=True)
class Sizes:
    """How much each step does.

    Attributes:
        budget: seconds for all steps.
        strips: synthetic strips to train on, and to predict.
        encoders: whose training is timed, over ``steps`` steps of ``batch`` crops of ``crop_width`` pixels.
        compiled: whether the training of the third encoder is timed with torch.compile too.
        training: values of the recipe of the small trainings.
        amps: modes of mixed precision that are trained; the first one is exported.
        engines: that are checked.
        rounds: of timing.
        patience: factor on the time limits of the steps.
        members: of the large ensemble, whose engine is ``large_engine``, at ``height`` x ``width``.
    """

    budget: int = 480
    strips: tuple[int, int] = (64, 32)
    encoders: tuple[str, ...] = KAGGLE_ENCODERS
    steps: int = 100
    batch: int = 16
    crop_width: int = 256
    compiled: bool = True
    training: tuple[str, ...] = (
        "--encoders=resnet18",
        "--downscale=1",
        "--epochs=6",
        "--samples-per-epoch=800",
        "--batch-size=16",
        "--tta=horizontal",
    )
    amps: tuple[str, ...] = ("fp16", "bf16", "off")
    engines: tuple[str, ...] = ("torch-fp16", "torch", "onnxruntime", "tensorrt", "tensorrt-fp32", "tensorrt-int8")
    rounds: int = 3
    patience: float = 1.0
    members: int = 20
    large_engine: str = "torch-fp16"
    height: int = 256
    width: int = 1600


FULL = Sizes()
QUICK = Sizes(
    budget=240,
    steps=30,
    compiled=False,
    amps=("fp16",),
    engines=("torch-fp16", "onnxruntime", "tensorrt"),
    rounds=1,
)
# Everything once, as small as it can be: nothing shall run for the first time on the GPU.
STAND_IN = Sizes(
    budget=7200,
    strips=(8, 4),
    encoders=("resnet34",),
    steps=2,
    batch=2,
    crop_width=64,
    compiled=False,
    training=(
        "--encoders=tu-mobilenetv4_conv_small", "--downscale=4", "--epochs=3", "--samples-per-epoch=8",
        "--batch-size=4", "--tta=none", "--decoder-channels=16,16,8",
    ),
    amps=("off", "bf16"),
    engines=("torch", "onnxruntime", "openvino"),
    rounds=1,
    patience=10.0,
    members=3,
    large_engine="torch",
    height=64,
    width=128,
)  # fmt: skip


def steps(sizes: Sizes, work: Path) -> list[Step]:
    """The steps in order; they write under ``work`` only."""
    first = sizes.amps[0]
    listed = [
        Step("versions", _module("versions"), 60, ("torch",)),
        Step("tests", _module("tests"), 120, (*BASE, "pytest", "onnx", "onnxsim", "onnxscript")),
        Step("data", _module("data", work, *sizes.strips), 120, BASE),
        *(_training_speed(sizes, encoder, work) for encoder in sizes.encoders),
        *(_small_training(sizes, amp, work) for amp in sizes.amps),
        Step("resume", _module("resume", work, first, *sizes.training), 90, BASE, ("data",)),
        _after_training("export", _module("export", work / first), 120, first, ("onnx", "onnxsim", "onnxscript")),
        *(_engine(sizes, name, work / first) for name in sizes.engines),
        _large_ensemble(sizes, work),
        _after_training("time limit", _module("time_limit", work / first, sizes.large_engine), 90, first),
        *([_compiled(sizes, work)] if sizes.compiled else []),
    ]
    return [replace(step, seconds=step.seconds * sizes.patience) for step in listed]


def _module(name: str, *arguments: object) -> tuple[str, ...]:
    return ("-m", f"benchmarks.gpu.{name}", *map(str, arguments))


def _training_speed(sizes: Sizes, encoder: str, work: Path) -> Step:
    arguments = _module("training_speed", work, encoder, sizes.steps, sizes.batch, sizes.crop_width)
    return Step(f"training {encoder}", arguments, 150, BASE, ("data",))


def _compiled(sizes: Sizes, work: Path) -> Step:
    arguments = _module("training_speed", work, sizes.encoders[2], sizes.steps, sizes.batch, sizes.crop_width)
    return Step("torch.compile", (*arguments, "--compile"), 180, BASE, ("data",))


def _small_training(sizes: Sizes, amp: str, work: Path) -> Step:
    folds = 2 if amp == sizes.amps[0] else 1  # tuning wants every fold
    arguments = _module("small_training", work, amp, folds, *sizes.training)
    return Step(f"train {amp}", arguments, 120, BASE, ("data",))


def _after_training(
    name: str, arguments: tuple[str, ...], seconds: int, amp: str, packages: tuple[str, ...] = ()
) -> Step:
    return Step(name, arguments, seconds, (*BASE, *packages), (f"train {amp}",))


def _engine(sizes: Sizes, name: str, folder: Path) -> Step:
    return Step(
        f"engine {name}",
        _module("engine", folder, name, sizes.rounds),
        120,
        (*BASE, *PACKAGES[name]),
        (f"train {sizes.amps[0]}",),
    )


def _large_ensemble(sizes: Sizes, work: Path) -> Step:
    arguments = (work, sizes.large_engine, sizes.members, sizes.height, sizes.width, *sizes.encoders)
    return Step(f"ensemble of {sizes.members}", _module("large_ensemble", *arguments), 120, BASE)
