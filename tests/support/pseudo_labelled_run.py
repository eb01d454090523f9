"""A finished run whose networks label strips: stand-ins that answer by the strip's name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from severstal.data import strips
from severstal.engines import catalog, onnx_file
from severstal.experiment import Member
from severstal.paths import Paths
from support.commands import run_stage_in_process
from support.experiments import write_tiny

BOX = np.zeros((64, 96), dtype=bool)
BOX[10:40, 20:60] = True


def write_pseudo_labelled(finished: Paths, root: Path) -> Paths:
    """The finished run and three more test strips; its five are training strips again. All of them are labelled."""
    shutil.copytree(finished.input.parent, root, dirs_exist_ok=True)
    paths = Paths.under(root)
    for number, name in enumerate(("clean", "uncertain", "clear")):
        grey = np.random.default_rng(100 + number).integers(40, 220, (64, 96), dtype=np.uint8)
        cv2.imwrite(str(paths.test_images / f"{name}.jpg"), grey)
    label(paths)
    return paths


def label(paths: Paths, *options: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the stage with networks that answer by the strip's name."""
    names = {strips.read(paths.test_images / name).tobytes(): name for name in strips.listing(paths.test_images)}

    def load(member: Member):
        def engine(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            maps = np.stack([answer(names[strip.tobytes()], member.fold) for strip in batch])
            return maps, maps.max(axis=(2, 3))

        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "engine_class", lambda name: SimpleNamespace(load=load))
        patch.setattr(catalog, "choose", lambda name: "openvino")
        patch.setattr(onnx_file, "check_identity", lambda member: None)
        return run_stage_in_process("pseudo", paths, *options, check=check)


def answer(name: str, fold: int) -> np.ndarray:
    """Maps of a strip; the networks of fold 1 place boxes three pixels further right and are uncertain of one strip."""
    box = np.roll(BOX, 3 * fold, axis=1)
    if name == "uncertain.jpg":
        return maps_with((4, box, 250 if fold == 0 else 160))
    return maps_with((2, box, 250)) if name == "clear.jpg" else maps_with()


def maps_with(*areas: tuple[int, np.ndarray, int]) -> np.ndarray:
    """Maps ``uint8 [4, 64, 96]`` of level 10, but for ``(class, mask, level)``."""
    maps = np.full((4, 64, 96), 10, dtype=np.uint8)
    for defect, mask, level in areas:
        maps[defect - 1][mask] = level
    return maps


def write_student(root: Path, labelled: Paths) -> Paths:
    """Another experiment on the same strips and split, with a copy of the pseudo-labels; nothing trained."""
    paths = write_tiny(root)
    shutil.copy(labelled.folds_csv, paths.folds_csv)
    shutil.copytree(labelled.pseudo.folder, paths.pseudo.folder)
    return paths
