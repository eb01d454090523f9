"""Which steps there are, and their sizes: the whole check, the quick one, and one without a GPU that proves them.

The seconds of the steps add up to what the check takes at most: 8 minutes for the whole one, 4 for the quick one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gpu.steps import Step

BASE = ("torch", "timm", "segmentation_models_pytorch", "albumentations", "pydantic", "safetensors", "cv2")
ONNX = ("onnx", "onnxsim", "onnxscript")
TENSORRT = ("tensorrt|tensorrt_rtx", *ONNX)
KAGGLE_ENCODERS = ("efficientnet-b3", "se_resnext50_32x4d", "resnet34", "tu-convnext_tiny")
PRECISIONS = ("float16", "bfloat16", "TF32", "float32")


# Seconds of an engine's step, the build of its file included, and the packages that it needs.
ENGINES: dict[str, tuple[int, tuple[str, ...]]] = {
    "torch-fp16": (15, ()),
    "torch": (15, ()),
    "onnxruntime": (15, ("onnxruntime", *ONNX)),
    "openvino": (15, ("openvino", *ONNX)),
    "tensorrt": (25, TENSORRT),
    "tensorrt-fp32": (15, TENSORRT),
    "tensorrt-int8": (15, (*TENSORRT, "onnxruntime")),
}


@dataclass(frozen=True)
class TimedTraining:
    """A step that times an encoder's training in ``modes``, in one process; the dearest mode comes last."""

    name: str
    seconds: int
    encoder: str
    modes: tuple[str, ...]


EFFICIENTNET = TimedTraining(
    "training efficientnet-b3", 25, "efficientnet-b3", (*PRECISIONS[:3], "float32-channels-first", "float32")
)
# In a process of its own, see training_modes.py.
EFFICIENTNET_NO_SEARCH = TimedTraining(
    "training efficientnet-b3 without search",
    25,
    "efficientnet-b3",
    ("float16-no-search", "float32-channels-first-no-search", "float32-no-search"),
)
RESNET34 = TimedTraining("training resnet34", 17, "resnet34", PRECISIONS)


@dataclass(frozen=True)
class Sizes:
    """How much each step does.

    Attributes:
        device: that PyTorch has to find, ``cuda`` or ``cpu``.
        strips: synthetic strips to train on, and to predict.
        trainings: that are timed.
        compiled: likewise, at the end, because the compiler takes longest.
        steps: of each training after its first five, of ``batch`` crops of ``crop_width`` pixels.
        layers: convolutions that are timed alone.
        training: values of the recipe of the small trainings.
        amps: modes of mixed precision that are trained; the first one is exported.
        engines: that are checked.
        rounds: of timing.
        patience: factor on the seconds of the steps.
        members: of the large ensemble of ``large_encoders`` in ``large_engine``, on strips of ``height`` x ``width``.
    """

    device: str = "cuda"
    strips: tuple[int, int] = (64, 32)
    trainings: tuple[TimedTraining, ...] = (
        EFFICIENTNET,
        EFFICIENTNET_NO_SEARCH,
        TimedTraining("training se_resnext50_32x4d", 20, "se_resnext50_32x4d", PRECISIONS),
        RESNET34,
        TimedTraining("training tu-convnext_tiny", 20, "tu-convnext_tiny", PRECISIONS),
    )
    compiled: tuple[TimedTraining, ...] = (TimedTraining("torch.compile", 25, "resnet34", ("float16-compiled",)),)
    steps: int = 30
    batch: int = 16
    crop_width: int = 256
    layers: int = 5
    training: tuple[str, ...] = (
        "--encoders=resnet18",
        "--downscale=1",
        "--epochs=4",
        "--samples-per-epoch=800",
        "--batch-size=16",
        "--tta=horizontal",
    )
    amps: tuple[str, ...] = ("fp16", "bf16", "off")
    engines: tuple[str, ...] = ("torch-fp16", "torch", "onnxruntime", "tensorrt", "tensorrt-fp32", "tensorrt-int8")
    rounds: int = 3
    patience: float = 1.0
    members: int = 20
    large_encoders: tuple[str, ...] = KAGGLE_ENCODERS
    large_engine: str = "torch-fp16"
    height: int = 256
    width: int = 1600


FULL = Sizes()
QUICK = Sizes(
    trainings=(EFFICIENTNET, EFFICIENTNET_NO_SEARCH, RESNET34),
    compiled=(),
    steps=15,
    layers=3,
    amps=("fp16",),
    engines=("torch-fp16", "onnxruntime", "tensorrt"),
    rounds=1,
    patience=0.7,
)
# Everything once, as small as it can be: nothing shall run for the first time on the GPU.
STAND_IN = Sizes(
    device="cpu",
    strips=(8, 4),
    trainings=(
        TimedTraining("training resnet34", 25, "resnet34", ("bfloat16", "float32-channels-first", "float32")),
        TimedTraining("training resnet34 without search", 25, "resnet34", ("float32-no-search",)),
    ),
    compiled=(),
    steps=2,
    batch=2,
    crop_width=64,
    layers=1,
    training=(
        "--encoders=tu-mobilenetv4_conv_small", "--downscale=4", "--epochs=3", "--samples-per-epoch=8",
        "--batch-size=4", "--tta=none", "--decoder-channels=16,16,8",
    ),
    amps=("off", "bf16"),
    engines=("torch", "onnxruntime", "openvino"),
    rounds=1,
    patience=20.0,
    members=3,
    large_encoders=("resnet34",),
    large_engine="torch",
    height=64,
    width=128,
)  # fmt: skip


def steps(sizes: Sizes, work: Path) -> list[Step]:
    """The steps in order, those that the others read from first; they write under ``work`` only."""
    first = sizes.amps[0]
    listed = [
        Step("versions", _module("versions", sizes.device), 10, ("torch",), is_required=True),
        Step("libraries", _module("libraries"), 20, ("torch",)),
        Step("tests", _module("tests"), 25, (*BASE, "pytest", *ONNX)),
        Step("data", _module("data", work, *sizes.strips), 12, BASE),
        *(_convolutions(sizes, choice) for choice in ("without-search", "with-search")),
        *(_timed_training(sizes, timed, work) for timed in sizes.trainings),
        *(_small_training(sizes, amp, work) for amp in sizes.amps),
        Step("torchrun", _module("torchrun", work, first, *sizes.training), 15, BASE, ("data",)),
        Step("resume", _module("resume", work, first, *sizes.training), 20, BASE, ("data",)),
        _after_training("export", _module("export", work / first), 15, first, ONNX),
        *(_engine(name, _module("engine", work / first, name, sizes.rounds), first) for name in sizes.engines),
        _large_ensemble(sizes, work),
        _after_training("time limit", _module("time_limit", work / first, sizes.large_engine), 15, first),
        *(_timed_training(sizes, timed, work) for timed in sizes.compiled),
    ]
    return [replace(step, seconds=step.seconds * sizes.patience) for step in listed]


def _module(name: str, *arguments: object) -> tuple[str, ...]:
    return ("-m", f"benchmarks.gpu.{name}", *map(str, arguments))


def _timed_training(sizes: Sizes, timed: TimedTraining, work: Path) -> Step:
    size = (sizes.steps, sizes.batch, sizes.crop_width)
    arguments = _module("training_speed", work, timed.encoder, ",".join(timed.modes), *size)
    return Step(timed.name, arguments, timed.seconds, BASE, ("data",))


def _convolutions(sizes: Sizes, choice: str) -> Step:
    arguments = _module("convolution_speed", choice, sizes.batch, sizes.layers)
    return Step(f"convolutions {choice.replace('-', ' ')}", arguments, 8, ("torch",))


def _small_training(sizes: Sizes, amp: str, work: Path) -> Step:
    # Tuning wants every fold of the one that is exported.
    folds, seconds = (2, 40) if amp == sizes.amps[0] else (1, 20)
    return Step(f"train {amp}", _module("small_training", work, amp, folds, *sizes.training), seconds, BASE, ("data",))


def _after_training(
    name: str, arguments: tuple[str, ...], seconds: int, amp: str, packages: tuple[str, ...] = ()
) -> Step:
    return Step(name, arguments, seconds, (*BASE, *packages), (f"train {amp}",))


def _engine(name: str, arguments: tuple[str, ...], amp: str) -> Step:
    seconds, packages = ENGINES[name]
    return _after_training(f"engine {name}", arguments, seconds, amp, packages)


def _large_ensemble(sizes: Sizes, work: Path) -> Step:
    arguments = (work, sizes.large_engine, sizes.members, sizes.height, sizes.width, *sizes.large_encoders)
    return Step(f"ensemble of {sizes.members}", _module("large_ensemble", *arguments), 20, BASE)
