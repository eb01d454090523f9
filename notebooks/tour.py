"""What the notebooks share: one small experiment on synthetic steel, its stages, and pictures.

The environment can name another folder and other sizes: SEVERSTAL_RUN, SEVERSTAL_STRIPS, SEVERSTAL_VALUES.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from severstal.paths import ROOT, Paths

RUN = Path(os.environ.get("SEVERSTAL_RUN", ROOT / "notebooks" / "run"))
STRIPS = os.environ.get("SEVERSTAL_STRIPS", "60")
VALUES = os.environ.get("SEVERSTAL_VALUES", "--samples-per-epoch 480 --epochs 3").split()
ENCODER, FOLD = "tu-tf_efficientnet_lite0", 0

paths = Paths(RUN / "input", RUN / "folds", RUN / "submissions")
warnings.filterwarnings("ignore", message="IProgress not found")  # progress bars are drawn as text


def stage(name: str, *options: object) -> None:
    """Run a stage as bin/ does; it skips what is cached."""
    folders = ["--input", paths.input, "--folds", paths.folds, "--submissions", paths.submissions]
    command = [sys.executable, ROOT / "src" / f"{name}.py", *folders, *options]
    run = subprocess.run(list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(run.stdout)
    if run.returncode:
        raise RuntimeError(f"the stage {name} ended with {run.returncode}; its output stands above")


def prepare() -> None:
    """Draw the synthetic strips and split them into folds."""
    stage("make_input", "--train", STRIPS, "--test", "6")
    if not paths.recipe.exists():
        stage("make_folds", "--recipe", "sample", "--encoders", ENCODER, *VALUES)


def show(pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int = 1, cmap: str = "gray") -> None:
    """Show pictures in a table, each under its title; grey ones, ``uint8 [H, W]``, in the colours of ``cmap``."""
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    _, axes = plt.subplots(rows, columns, figsize=(14, (14 / columns * height / width + 0.35) * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
        axis.imshow(picture, cmap=cmap, vmin=0, vmax=255)
        axis.set_title(title, fontsize=10, loc="left")
    plt.tight_layout()
    plt.show()
