"""The files inside folders that stages write as a unit: one fold, pseudo-labels, overlays, Kaggle's two uploads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FoldPaths:
    """All files of one encoder and fold; delete ``folder`` to train the fold again."""

    folder: Path

    @property
    def config(self) -> Path:
        """The configuration and the values measured from the data; written when training starts."""
        return self.folder / "config.json"

    @property
    def checkpoint(self) -> Path:
        """The state after the last complete epoch; deleted when training is complete."""
        return self.folder / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """A JSON line per epoch."""
        return self.folder / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def oof(self) -> Path:
        """Out-of-fold predictions: one map per validation strip."""
        return self.folder / "oof.npz"

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    def engine(self, name: str) -> Path:
        """The file of an engine that has a format of its own, such as ``model.tensorrt``."""
        return self.folder / f"model.{name}"

    def converted_onnx(self, engine: str) -> Path:
        """The graph in an engine's precision, from which the engine is built."""
        return self.folder / f"model.{engine}.onnx"

    def openvino(self, engine: str) -> Path:
        """An OpenVINO graph; its weights are in the ``.bin`` file beside it."""
        return self.folder / f"model.{engine}.xml"

    def sidecar(self, engine: str) -> Path:
        """What an engine was exported from and how well it agrees with PyTorch."""
        return self.folder / f"model.{engine}.json"

    def build_record(self, engine: str) -> Path:
        """What an engine file was built from and for."""
        return self.folder / f"model.{engine}-build.json"

    def float32_layers(self, engine: str) -> Path:
        """Layers that an engine of lower precision keeps in float32."""
        return self.folder / f"model.{engine}-layers.json"

    def all_float32_layers(self) -> list[Path]:
        """The lists of float32 layers on disk, of all engines."""
        return sorted(self.folder.glob("model.*-layers.json"))

    def sidecars(self) -> list[Path]:
        """The JSON files of all engines on disk."""
        return sorted(self.folder.glob("model.*.json"))


@dataclass(frozen=True)
class PseudoPaths:
    """Pseudo-labels of one folder of strips; a fold reads its own table only."""

    folder: Path

    @property
    def record(self) -> Path:
        """Which networks labelled which strips; written after all other files of the folder."""
        return self.folder / "pseudo.json"

    @property
    def assessments(self) -> Path:
        """What each fold's networks found out about every strip and class, and so why a strip was rejected."""
        return self.folder / "assessments.csv"

    def labels(self, fold: int) -> Path:
        """The strips that the fold's networks label with confidence, in the form of train.csv, four rows each."""
        return self.folder / f"fold_{fold}.csv"


@dataclass(frozen=True)
class InspectionPaths:
    """What ``inspect_strips`` writes."""

    folder: Path

    @property
    def table(self) -> Path:
        """Areas per class of the strips."""
        return self.folder / "defects.csv"

    def overlay(self, image: str) -> Path:
        """A strip with its defects drawn."""
        return self.folder / f"{Path(image).stem}_defects.jpg"


@dataclass(frozen=True)
class KaggleDatasetPaths:
    """What Kaggle's client uploads as a data set."""

    folder: Path

    @property
    def record(self) -> Path:
        """Which networks and values the package holds; the notebook finds the package by this name."""
        return self.folder / "package.json"

    @property
    def metadata(self) -> Path:
        """Read by Kaggle's client, which sets its name."""
        return self.folder / "dataset-metadata.json"

    @property
    def code(self) -> Path:
        return self.folder / "code"

    @property
    def folds(self) -> Path:
        return self.folder / "folds"

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"


@dataclass(frozen=True)
class KaggleKernelPaths:
    """What Kaggle's client uploads as a notebook."""

    folder: Path

    @property
    def metadata(self) -> Path:
        """Read by Kaggle's client, which sets its name."""
        return self.folder / "kernel-metadata.json"

    def notebook(self, slug: str) -> Path:
        return self.folder / f"{slug}.ipynb"
