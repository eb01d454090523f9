"""What tests share: real data where it lies beside the repository, and a tiny made-up experiment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from severstal import folds, network, recipe, rle, strips, weights
from severstal.artifacts import write_json
from severstal.labels import read_labels
from severstal.member import FoldConfig, Member
from severstal.paths import Paths

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real strips and masks, which is not part of the repository."""
    if not REAL.is_dir():
        pytest.skip(f"real strips and masks are not at {REAL}")
    return REAL


def run_bin(script: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script of bin/ as a user would, from another working folder."""
    done = subprocess.run(
        ["bash", str(ROOT / "bin" / f"{script}.sh"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if check and done.returncode:
        pytest.fail(f"bin/{script}.sh ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


TINY = {
    "folds": 2,
    "encoders": {"tu-mobilenetv4_conv_small": {}},
    "weights": "none",
    "decoder_channels": [16, 16, 8, 8, 8],
    "crop_height": 64,
    "crop_width": 64,
    "samples_per_epoch": 16,
    "epochs": 3,
    "batch_size": 4,
    "flips": ["horizontal"],
    "workers": 0,
}


@pytest.fixture
def tiny(tmp_path: Path) -> Paths:
    """An experiment of twelve 64x96 strips in two folds, with its recipe and split, nothing trained."""
    return write_tiny(tmp_path)


def write_tiny(root: Path) -> Paths:
    """The same in any folder: defects of class ``number % 4 + 1`` on the strips that 3 does not divide."""
    paths = Paths(root / "input", root / "folds", root / "submissions")
    write_tiny_strips(paths.train_images, 12)
    rows = []
    for number in range(12):
        if number % 3:  # every third strip is clean
            mask = np.zeros((64, 96), dtype=bool)
            mask[10 + number : 30 + number, 20:60] = True
            rows.append((f"{number:09x}.jpg", number % 4 + 1, rle.encode(mask)))
    pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(paths.train_csv, index=False)
    write_json(paths.recipe, recipe.build({"name": "tiny"} | TINY).model_dump())
    labels = read_labels(paths.train_csv, 64, 96, strips.listing(paths.train_images))
    folds.split(labels, np.arange(12), 2, 0).to_csv(paths.folds_csv, index=False)
    return paths


def write_tiny_strips(folder: Path, count: int) -> None:
    """Strips of noise, each of its own."""
    folder.mkdir(parents=True)
    for number in range(count):
        grey = np.random.default_rng(number).integers(40, 220, (64, 96), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:09x}.jpg"), grey)


def random_member(root: Path, values: recipe.Recipe, encoder: str, size: tuple[int, int], spread: float = 2) -> Member:
    """A fold of random weights, as training leaves it, without out-of-fold maps.

    Args:
        spread: of the maps; 1 leaves them nearly flat, and at 2 deep networks magnify every rounding.
    """
    made = Member(Paths(root / "input", root / "folds", root / "submissions"), encoder, 0)
    config = FoldConfig(
        encoder=encoder, fold=0, recipe=values, overrides={}, data="d", made_up=True, height=size[0], width=size[1],
        mean=0.4, std=0.2, versions={},
    )  # fmt: skip
    torch.manual_seed(0)
    unet = network.build(values, encoder, pretrained=False)
    for layer in unet.modules():  # spread the probabilities: a fresh network says 0.5 everywhere
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, spread)
    nn.init.normal_(getattr(unet, "unet", unet).segmentation_head[0].weight, std=0.6)
    write_json(made.files.config, config.model_dump())
    weights.save(made.files.weights, unet.state_dict(), {"fingerprint": config.fingerprint})
    return made


def arguments_of(paths: Paths) -> list[str]:
    """The folders of an experiment, for a command line."""
    return [f"--input={paths.input}", f"--folds={paths.folds}", f"--submissions={paths.submissions}"]


def run_stage_alone(
    name: str, paths: Paths, *arguments: object, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a stage's file in a process of its own, without the set-up that bin/ does first."""
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments_of(paths), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if check and done.returncode:
        pytest.fail(f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A headless Chromium: the one that is installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses to run as root with its sandbox; these pages are the repository's own.
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()
