"""The interface of every engine: a trained network, loaded into one runtime.

A runtime is one file of this package, and ``catalog.py`` maps its name to its class. Third-party runtimes are imported
inside ``build`` and ``load``, never at the top of a file: whether a runtime is installed and what it can do can then
be asked without loading it.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from severstal.engines.outputs import Outputs, Predict
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.hardware import gpu_count

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldScorer

BATCH_SIZE = 4  # strips per call in prediction and benchmarks; TensorRT's tactics are chosen for it

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Tolerance:
    """How far an engine may differ from PyTorch in float32.

    Attributes:
        levels: largest difference of a pixel's probability, of 255.
        flipped: share of pixels, over the four classes, on the other side of the tuned threshold.
    """

    levels: int
    flipped: float


FLOAT32 = Tolerance(levels=3, flipped=1e-4)
FLOAT16 = Tolerance(levels=26, flipped=1e-3)


class BuildTimeout(InputError):
    """The time for building an engine is over."""


class Engine(ABC):
    """A network in one runtime, ready to be called.

    Attributes:
        name: as in ``--engine NAME`` and in file names.
        packages: modules of which one has to be installed.
        install: the command that installs them.
        device: where it computes; ``any`` is the GPU where there is one, else the CPU.
        precision: of most of its arithmetic. Below ``fp32`` the Dice of the fold's held-out strips is checked too.
        tolerance: None where the precision is so low that only the Dice can decide.
        averages_on_device: whether :meth:`average` is implemented.
        reads_onnx: whether it runs the exported graph; else it runs the PyTorch network.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    install: ClassVar[str] = "pip install -r requirements.txt"
    device: ClassVar[Literal["cpu", "gpu", "any"]]
    precision: ClassVar[Precision] = "fp32"
    tolerance: ClassVar[Tolerance | None] = FLOAT32
    averages_on_device: ClassVar[bool] = False
    reads_onnx: ClassVar[bool] = True

    @classmethod  # noqa: B027 - most runtimes have no file to write
    def build(cls, member: Member, fold: FoldScorer | None = None) -> None:
        """Write the runtime's own file, for runtimes that have one.

        Args:
            fold: scores the engine where its precision is below float32; its training strips calibrate int8.
        """

    @classmethod
    def own_files(cls, member: Member) -> tuple[Path, ...]:
        """The files that :meth:`build` writes; they serve no other engine."""
        return ()

    @classmethod
    @abstractmethod
    def load(cls, member: Member) -> Self:
        """Load what :meth:`build` and the export wrote for a member.

        Raises:
            InputError: if a file is missing or damaged, or the device is missing.
        """

    @classmethod
    def load_within(cls, member: Member, build_seconds: float) -> Self:
        """:meth:`load`, and no longer than ``build_seconds`` for a runtime that has to build its file again.

        Raises:
            BuildTimeout: if the file is not built by then.
            InputError: as :meth:`load`.
        """
        return cls.load(member)

    @abstractmethod
    def __call__(self, strips: np.ndarray) -> Outputs:
        """Predict strips ``uint8 [N, H, W]``, any N from 1."""

    @classmethod
    def exported(cls, member: Member, path: Path) -> Path:
        """The path of a file that the export wrote.

        Raises:
            InputError: if it is missing; the message names the command that writes it.
        """
        if not path.exists():
            remake = f"{member.export_command} --engine {cls.name}"
            raise InputError(f"{path} is missing, as {member.name} was not exported for {cls.name}: run `{remake}`")
        return path

    @classmethod
    def average(cls, engines: Sequence[Self], weights: Sequence[int]) -> Predict:
        """One call for several engines, averaged where they compute.

        The result equals ``postprocess.ensemble_mean.mean_map`` of the engines' outputs to the bit.
        """
        raise NotImplementedError(f"engine {cls.name} does not average on its device")

    @classmethod
    def is_installed(cls) -> bool:
        return any(importlib.util.find_spec(package) for package in cls.packages)

    @classmethod
    def needs_gpu(cls) -> bool:
        return cls.device == "gpu"

    @classmethod
    def runs_on_gpu(cls) -> bool:
        """Whether it computes on a GPU of this machine."""
        return cls.device != "cpu" and gpu_count() > 0

    @classmethod
    def is_reduced(cls) -> bool:
        """Whether its precision is below float32."""
        return cls.precision != "fp32"
