"""Severstal: defects on steel strips, from training to masks.

    from severstal import Predictor

    prediction = Predictor("folds").predict("strip.jpg")

Importing this package loads nothing else: ``Predictor`` and ``__version__`` are looked up when they are first used.
"""

from importlib import import_module
from typing import Any

__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Predictor":
        return import_module("severstal.inference.predictor").Predictor
    if name == "__version__":
        metadata = import_module("importlib.metadata")
        try:
            return metadata.version("severstal")
        except metadata.PackageNotFoundError:  # run from a folder of sources, as in a Kaggle notebook
            return "unknown"
    raise AttributeError(f"module 'severstal' has no attribute {name!r}")
